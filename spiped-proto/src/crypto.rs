//! Cryptography that knows no protocol: each module is a thin wrapper of a library.
//!
//! AES-256-GCM, X25519 and ML-KEM-768 come from graviola where the processor has what it needs, and
//! from RustCrypto and dalek elsewhere. Both give the same bytes.
//!
//! Values with secrets wipe themselves when dropped. What the libraries leave on the stack is in
//! docs/dependencies.md: later calls write over it, and nothing else does.

use alloc::boxed::Box;

use zeroize::Zeroizing;

pub(crate) mod aead;
pub(crate) mod ctr;
pub(crate) mod group14;
pub(crate) mod hmac;
pub(crate) mod mlkem;
pub(crate) mod x25519;

/// A shared secret on the heap, wiped when dropped: to move it leaves no copy behind.
pub(crate) type SharedSecret = Box<Zeroizing<[u8; 32]>>;

fn shared_secret(bytes: &[u8; 32]) -> SharedSecret {
    let mut secret = Box::new(Zeroizing::new([0; 32]));
    secret.copy_from_slice(bytes);
    secret
}

/// Which library does the work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Library {
    /// Assembly and intrinsics for x86-64 and ARMv8, which must not be entered on processors without
    /// them.
    #[cfg(all(feature = "std", any(target_arch = "x86_64", target_arch = "aarch64")))]
    Graviola,
    Portable,
}

impl Library {
    /// The fastest one that this processor can run, found at run time.
    ///
    /// `--cfg spiped_portable` at build time, a switch for tests, forces the portable one.
    pub(crate) fn fastest() -> Self {
        #[cfg(all(feature = "std", any(target_arch = "x86_64", target_arch = "aarch64")))]
        if !cfg!(spiped_portable) && graviola_runs() {
            return Self::Graviola;
        }
        Self::Portable
    }

    /// Whether it takes tens of microseconds for what the portable one takes hundreds for.
    pub(crate) fn is_fast(self) -> bool {
        self != Self::Portable
    }

    /// All that this processor can run.
    #[cfg(test)]
    pub(crate) fn all() -> Vec<Self> {
        let all = [
            #[cfg(all(feature = "std", any(target_arch = "x86_64", target_arch = "aarch64")))]
            graviola_runs().then_some(Self::Graviola),
            Some(Self::Portable),
        ];
        all.into_iter().flatten().collect()
    }
}

/// Whether this processor has the instructions that graviola uses.
#[cfg(all(feature = "std", target_arch = "x86_64"))]
fn graviola_runs() -> bool {
    // Its own look leaves out bmi2 (X25519, ML-KEM) and popcnt (ML-KEM), and adx (X25519) in a build
    // for valgrind.
    graviola::util::is_cpu_supported()
        && std::arch::is_x86_feature_detected!("adx")
        && std::arch::is_x86_feature_detected!("bmi2")
        && std::arch::is_x86_feature_detected!("popcnt")
}

/// Whether this processor has the instructions that graviola uses.
#[cfg(all(feature = "std", target_arch = "aarch64"))]
fn graviola_runs() -> bool {
    graviola::util::is_cpu_supported()
}

/// The tag is wrong, or the input is longer than the cipher allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct AeadError;
