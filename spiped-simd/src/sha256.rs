//! SHA-256 compression (FIPS 180-4 section 6.2.2) of several messages side by side.
//!
//! One message uses a fraction of a core's execution units, because each round waits for the one
//! before. Messages that do not depend on each other fill the rest. This module picks the
//! [`Implementation`]s for the CPU it runs on; padding, lengths and HMAC are left to the caller.

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
#[cfg(target_arch = "x86_64")]
mod shani;

/// Bytes in a block.
pub const BLOCK_LEN: usize = 64;

/// What one step of the compression absorbs.
pub type Block = [u8; BLOCK_LEN];

/// A chaining value: the words H0 to H7.
pub type State = [u32; 8];

/// The chaining value that every message starts from (FIPS 180-4 section 5.3.3).
pub const INITIAL: State = [
    0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19,
];

/// Absorbs blocks into a chaining value.
pub fn compress(state: &mut State, blocks: &[Block]) {
    sha2::block_api::compress256(state, blocks);
}

/// Absorbs each message into the state at its place, as [`compress`] would one by one.
///
/// Fastest when neighbouring messages have equal lengths and there are many: 16 at a time with
/// AVX-512, else two with SHA-NI, else eight with AVX2. A state without a message stays, a message
/// without a state is ignored.
pub fn compress_many(states: &mut [State], messages: &[&[Block]]) {
    let mut rest = (states, messages);
    for implementation in Implementation::preferred() {
        rest = implementation.compress_groups(rest.0, rest.1);
    }
    one_by_one(rest.0, rest.1);
}

/// A way to compress that this CPU has. Only tests and measurements choose; everyone else calls
/// [`compress_many`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Implementation(Kind);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    OneByOne,
    #[cfg(target_arch = "x86_64")]
    ShaNi(shani::Token),
    #[cfg(target_arch = "x86_64")]
    Avx2(avx2::Token),
    #[cfg(target_arch = "x86_64")]
    Avx512(avx512::Token),
}

impl Implementation {
    /// All that this CPU has. The portable one, message by message, is always among them.
    pub fn available() -> impl Iterator<Item = Self> {
        let all = [
            Some(Kind::OneByOne),
            #[cfg(target_arch = "x86_64")]
            shani::Token::detect().map(Kind::ShaNi),
            #[cfg(target_arch = "x86_64")]
            avx2::Token::detect().map(Kind::Avx2),
            #[cfg(target_arch = "x86_64")]
            avx512::Token::detect().map(Kind::Avx512),
        ];
        all.into_iter().flatten().map(Self)
    }

    /// What [`compress_many`] uses, in this order, each for the messages that the ones before left.
    #[cfg(target_arch = "x86_64")]
    fn preferred() -> impl Iterator<Item = Self> {
        let wide = avx512::Token::detect().map(Kind::Avx512);
        let narrow = shani::Token::detect()
            .map(Kind::ShaNi)
            .or_else(|| avx2::Token::detect().map(Kind::Avx2));
        wide.into_iter().chain(narrow).map(Self)
    }

    #[cfg(not(target_arch = "x86_64"))]
    fn preferred() -> impl Iterator<Item = Self> {
        [].into_iter()
    }

    /// A short name for tables.
    pub fn name(self) -> &'static str {
        match self.0 {
            Kind::OneByOne => "one by one",
            #[cfg(target_arch = "x86_64")]
            Kind::ShaNi(_) => "SHA-NI x 2",
            #[cfg(target_arch = "x86_64")]
            Kind::Avx2(_) => "AVX2 x 8",
            #[cfg(target_arch = "x86_64")]
            Kind::Avx512(_) => "AVX-512 x 16",
        }
    }

    /// As [`compress_many`], with this implementation; messages that do not fill a group of its
    /// lanes are compressed one by one.
    pub fn compress_many(self, states: &mut [State], messages: &[&[Block]]) {
        let (states, messages) = self.compress_groups(states, messages);
        one_by_one(states, messages);
    }

    /// Compresses the full groups of lanes and returns what is left.
    fn compress_groups<'s, 'm, 'b>(
        self,
        states: &'s mut [State],
        messages: &'m [&'b [Block]],
    ) -> (&'s mut [State], &'m [&'b [Block]]) {
        match self.0 {
            Kind::OneByOne => (states, messages),
            #[cfg(target_arch = "x86_64")]
            Kind::ShaNi(token) => in_groups(states, messages, |s, m| token.compress(s, m)),
            #[cfg(target_arch = "x86_64")]
            Kind::Avx2(token) => in_groups(states, messages, |s, m| token.compress(s, m)),
            #[cfg(target_arch = "x86_64")]
            Kind::Avx512(token) => in_groups(states, messages, |s, m| token.compress(s, m)),
        }
    }
}

fn one_by_one(states: &mut [State], messages: &[&[Block]]) {
    for (state, message) in states.iter_mut().zip(messages) {
        compress(state, message);
    }
}

/// Calls `compress` for each full group of messages, then absorbs by itself what a message has
/// beyond the shortest of its group. Returns the states and messages after the last full group.
#[cfg(target_arch = "x86_64")]
fn in_groups<'s, 'm, 'b, const LANES: usize>(
    states: &'s mut [State],
    messages: &'m [&'b [Block]],
    compress: impl Fn(&mut [State; LANES], &[&[Block]; LANES]),
) -> (&'s mut [State], &'m [&'b [Block]]) {
    let (state_groups, _) = states.as_chunks_mut::<LANES>();
    let (message_groups, _) = messages.as_chunks::<LANES>();
    let groups = state_groups.len().min(message_groups.len());
    for (states, messages) in state_groups.iter_mut().zip(message_groups) {
        compress(states, messages);
        let common = common_len(messages);
        one_by_one(states, &messages.map(|message| message.split_at(common).1));
    }
    let (_, states) = states.split_at_mut(groups * LANES);
    let (_, messages) = messages.split_at(groups * LANES);
    (states, messages)
}

/// The length of the shortest message, in blocks.
#[cfg(target_arch = "x86_64")]
fn common_len<const LANES: usize>(messages: &[&[Block]; LANES]) -> usize {
    messages
        .iter()
        .map(|message| message.len())
        .min()
        .unwrap_or(0)
}

/// The round constants (FIPS 180-4 section 4.2.2).
#[cfg(target_arch = "x86_64")]
static K: [u32; 64] = [
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2,
];

#[cfg(test)]
mod tests;
