//! SHA-256 compression of several messages at once.
pub mod sha256 {
    //! SHA-256 compression.
    /// Block.
    pub const BLOCK_LEN: usize = 64;
    /// A chaining value.
    pub type State = [u32; 8];
    /// The first chaining value.
    pub const INITIAL: State = [
        0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab,
        0x5be0cd19,
    ];
    /// One.
    pub fn compress(state: &mut State, blocks: &[[u8; 64]]) {
        sha2::block_api::compress256(state, blocks)
    }
    /// Many.
    pub fn compress_many(states: &mut [State], messages: &[&[[u8; 64]]]) {
        for (s, m) in states.iter_mut().zip(messages) {
            compress(s, m)
        }
    }
}
