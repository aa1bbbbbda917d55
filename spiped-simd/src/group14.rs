//! Powers modulo the 2048-bit MODP prime of RFC 3526 section 3 ("group 14"), in constant time, on
//! CPUs with AVX-512 IFMA, or with AVX2 and fused multiply-add.
//!
//! There is no portable twin here: where the CPU lacks the instructions, the caller uses its own
//! arithmetic.

#[cfg(target_arch = "x86_64")]
mod fma;
#[cfg(target_arch = "x86_64")]
mod ifma;
#[cfg(target_arch = "x86_64")]
mod powers;

/// A number below 2^2048: 64-bit limbs, least significant first.
pub type Number = [u64; 32];

/// The prime p.
pub const P: Number = [
    0xffffffffffffffff,
    0x15728e5a8aacaa68,
    0x15d2261898fa0510,
    0x3995497cea956ae5,
    0xde2bcbf695581718,
    0xb5c55df06f4c52c9,
    0x9b2783a2ec07a28f,
    0xe39e772c180e8603,
    0x32905e462e36ce3b,
    0xf1746c08ca18217c,
    0x670c354e4abc9804,
    0x9ed529077096966d,
    0x1c62f356208552bb,
    0x83655d23dca3ad96,
    0x69163fa8fd24cf5f,
    0x98da48361c55d39a,
    0xc2007cb8a163bf05,
    0x49286651ece45b3d,
    0xae9f24117c4b1fe6,
    0xee386bfb5a899fa5,
    0x0bff5cb6f406b7ed,
    0xf44c42e9a637ed6b,
    0xe485b576625e7ec6,
    0x4fe1356d6d51c245,
    0x302b0a6df25f1437,
    0xef9519b3cd3a431b,
    0x514a08798e3404dd,
    0x020bbea63b139b22,
    0x29024e088a67cc74,
    0xc4c6628b80dc1cd1,
    0xc90fdaa22168c234,
    0xffffffffffffffff,
];

/// Sets `power`, which may be a secret and is therefore not returned, to base^exponent mod p, below p.
/// False, with `power` as it was, where the CPU lacks the instructions.
///
/// The exponent's limbs are least significant first. The base need not be below p. No branch and
/// no address depends on base or exponent, except that an exponent of more than 260 bits, which
/// version 1 of the protocol never has, takes longer.
#[must_use]
pub fn pow(base: &Number, exponent: &[u64; 5], power: &mut Number) -> bool {
    let way = Implementation::available().next();
    way.map(|way| way.pow(base, exponent, power)).is_some()
}

/// 2^exponent mod p, as [`pow`] with the base 2 but several times as fast, or `None` where the CPU
/// lacks the instructions.
///
/// The first call computes tables, for which it takes about as long as two calls of [`pow`].
pub fn power_of_two(exponent: &[u64; 5]) -> Option<Number> {
    let way = Implementation::available().next()?;
    Some(way.power_of_two(exponent))
}

/// A way to compute powers that this CPU has. Only tests and measurements choose; everyone else
/// calls [`pow`](fn@pow) and [`power_of_two`](fn@power_of_two).
#[derive(Clone, Copy, Debug)]
pub struct Implementation(Kind);

#[derive(Clone, Copy, Debug)]
enum Kind {
    #[cfg(target_arch = "x86_64")]
    Ifma(ifma::Token),
    #[cfg(target_arch = "x86_64")]
    Fma(fma::Token),
}

const KINDS: usize = if cfg!(target_arch = "x86_64") { 2 } else { 0 };

impl Implementation {
    /// All that this CPU has, the fastest first.
    pub fn available() -> impl Iterator<Item = Self> {
        let all: [Option<Kind>; KINDS] = [
            #[cfg(target_arch = "x86_64")]
            ifma::Token::detect().map(Kind::Ifma),
            #[cfg(target_arch = "x86_64")]
            fma::Token::detect().map(Kind::Fma),
        ];
        all.into_iter().flatten().map(Self)
    }

    /// A short name for tables.
    pub fn name(self) -> &'static str {
        match self.0 {
            #[cfg(target_arch = "x86_64")]
            Kind::Ifma(_) => "AVX-512 IFMA",
            #[cfg(target_arch = "x86_64")]
            Kind::Fma(_) => "AVX2 and FMA",
        }
    }

    /// As [`pow`](fn@pow), with this implementation.
    #[cfg_attr(not(target_arch = "x86_64"), expect(unused_variables))]
    pub fn pow(self, base: &Number, exponent: &[u64; 5], power: &mut Number) {
        match self.0 {
            #[cfg(target_arch = "x86_64")]
            Kind::Ifma(token) => token.pow(base, exponent, power),
            #[cfg(target_arch = "x86_64")]
            Kind::Fma(token) => token.pow(base, exponent, power),
        }
    }

    /// As [`power_of_two`](fn@power_of_two), with this implementation.
    #[cfg_attr(not(target_arch = "x86_64"), expect(unused_variables))]
    pub fn power_of_two(self, exponent: &[u64; 5]) -> Number {
        match self.0 {
            #[cfg(target_arch = "x86_64")]
            Kind::Ifma(token) => token.power_of_two(exponent),
            #[cfg(target_arch = "x86_64")]
            Kind::Fma(token) => token.power_of_two(exponent),
        }
    }
}

#[cfg(test)]
mod tests;
