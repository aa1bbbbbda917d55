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
/// AVX-512, else four with SHA-NI, else eight with AVX2. A state without a message stays, a message
/// without a state is ignored.
pub fn compress_many(states: &mut [State], messages: &[&[Block]]) {
    if let ([state], [message]) = (&mut *states, messages) {
        return compress(state, message);
    }
    let mut rest = (states, messages);
    for (implementation, fewest) in preferred() {
        rest = implementation.compress_groups(fewest, rest.0, rest.1);
    }
}

/// What [`compress_many`] uses, each for what the one before left, and how many messages at least
/// must be there for it to beat the next.
#[cfg(target_arch = "x86_64")]
fn preferred() -> impl Iterator<Item = (Implementation, usize)> {
    let four = shani::Token::detect().map(Kind::ShaNi);
    let sixteen = avx512::Token::detect().map(Kind::Avx512);
    let eight = match (four, sixteen) {
        (None, None) => avx2::Token::detect().map(Kind::Avx2),
        _ => None,
    };
    // A message by itself runs at a tenth of the sixteen's speed without SHA-NI.
    let fewest_of_sixteen = if four.is_some() { 15 } else { 2 };
    let one = Some(Kind::OneByOne);
    [
        (sixteen, fewest_of_sixteen),
        (four, 2),
        (eight, 2),
        (one, 1),
    ]
    .into_iter()
    .filter_map(|(kind, fewest)| Some((Implementation(kind?), fewest)))
}

#[cfg(not(target_arch = "x86_64"))]
fn preferred() -> impl Iterator<Item = (Implementation, usize)> {
    [(Implementation(Kind::OneByOne), 1)].into_iter()
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

    /// A short name for tables.
    pub fn name(self) -> &'static str {
        match self.0 {
            Kind::OneByOne => "one by one",
            #[cfg(target_arch = "x86_64")]
            Kind::ShaNi(_) => "SHA-NI x 4",
            #[cfg(target_arch = "x86_64")]
            Kind::Avx2(_) => "AVX2 x 8",
            #[cfg(target_arch = "x86_64")]
            Kind::Avx512(_) => "AVX-512 x 16",
        }
    }

    /// As [`compress_many`](fn@compress_many), with this implementation for all messages.
    pub fn compress_many(self, states: &mut [State], messages: &[&[Block]]) {
        self.compress_groups(1, states, messages);
    }

    /// Compresses the full groups of lanes, and a last one of at least `fewest` messages; returns
    /// what is left.
    fn compress_groups<'s, 'm, 'b>(
        self,
        fewest: usize,
        states: &'s mut [State],
        messages: &'m [&'b [Block]],
    ) -> (&'s mut [State], &'m [&'b [Block]]) {
        match self.0 {
            Kind::OneByOne => in_groups(fewest, states, messages, |[state], [message]| {
                compress(state, message);
                message.len()
            }),
            #[cfg(target_arch = "x86_64")]
            Kind::ShaNi(token) => {
                // Three gain more from a lane left empty than two and one by itself.
                let (states, messages) =
                    in_groups::<4>(3, states, messages, |s, m| token.compress(s, m));
                in_groups::<2>(fewest, states, messages, |s, m| token.compress(s, m))
            }
            #[cfg(target_arch = "x86_64")]
            Kind::Avx2(token) => in_groups(fewest, states, messages, |s, m| token.compress(s, m)),
            #[cfg(target_arch = "x86_64")]
            Kind::Avx512(token) => in_groups(fewest, states, messages, |s, m| token.compress(s, m)),
        }
    }
}

/// Calls `compress` for each full group of messages, and for a last one of at least `fewest` with
/// its first message in the empty lanes too. `compress` says how many blocks it absorbed of each;
/// what is left of longer ones is absorbed here. Returns the states and messages that are left.
fn in_groups<'s, 'm, 'b, const LANES: usize>(
    fewest: usize,
    states: &'s mut [State],
    messages: &'m [&'b [Block]],
    compress: impl Fn(&mut [State; LANES], &[&[Block]; LANES]) -> usize,
) -> (&'s mut [State], &'m [&'b [Block]]) {
    let pairs = states.len().min(messages.len());
    let last = pairs % LANES;
    let grouped = if last < fewest { pairs - last } else { pairs };
    let (grouped_states, states) = states.split_at_mut(grouped);
    let (grouped_messages, messages) = messages.split_at(grouped);
    let groups = grouped_states.chunks_mut(LANES);
    for (states, messages) in groups.zip(grouped_messages.chunks(LANES)) {
        let mut lanes = [*messages.first().unwrap_or(&[].as_slice()); LANES];
        for (lane, message) in lanes.iter_mut().zip(messages) {
            *lane = message;
        }
        let absorbed = if let Ok(states) = <&mut [State; LANES]>::try_from(&mut *states) {
            compress(states, &lanes)
        } else {
            let mut lane_states = [INITIAL; LANES];
            let (used, _) = lane_states.split_at_mut(states.len());
            used.copy_from_slice(states);
            let absorbed = compress(&mut lane_states, &lanes);
            states.copy_from_slice(lane_states.split_at(states.len()).0);
            absorbed
        };
        for (state, message) in states.iter_mut().zip(messages) {
            if let Some(rest @ [_, ..]) = message.get(absorbed..) {
                self::compress(state, rest);
            }
        }
    }
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

/// The round constants (FIPS 180-4 section 4.2.2), sixteen a row.
#[cfg(target_arch = "x86_64")]
static K: [[u32; 16]; 4] = [
    [
        0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4,
        0xab1c5ed5, 0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe,
        0x9bdc06a7, 0xc19bf174,
    ],
    [
        0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc,
        0x76f988da, 0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147,
        0x06ca6351, 0x14292967,
    ],
    [
        0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e,
        0x92722c85, 0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624,
        0xf40e3585, 0x106aa070,
    ],
    [
        0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f,
        0x682e6ff3, 0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb,
        0xbef9a3f7, 0xc67178f2,
    ],
];

#[cfg(test)]
mod tests;
