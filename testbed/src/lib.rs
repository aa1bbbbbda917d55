//! What the whole-program tests stand on: it starts real programs, waits until
//! they are up, ends them, and checks every byte that passes through them.
//!
//! It knows nothing of the protocol and links nothing of the product. What a
//! program under test promises is said in the tests, not here.
//!
//! Everything here panics when something goes wrong, because that is how a
//! test fails; and everything that waits gives up after [`PATIENCE`].
#![forbid(unsafe_code)]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test harness fails by panicking"
)]

mod address;
mod dir;
mod duplex;
mod listener;
mod load;
mod maker;
mod metrics;
mod pattern;
mod ports;
pub mod proc;
mod program;
mod proxy;
mod site;
mod tunnel;
mod wire;

use std::time::{Duration, Instant};

pub use address::{Address, Transport};
pub use dir::TempDir;
pub use duplex::{Duplex, Receiver, Sender};
pub use listener::{Echo, Listener, Silent};
pub use load::Load;
pub use maker::{Maker, Mode, find, is_root, present};
pub use metrics::{metric, metrics};
pub use nix::sys::signal::Signal;
pub use pattern::{Pattern, sha256, sha256_of_pattern};
pub use ports::free_port;
pub use program::{Daemonized, Program, signal};
pub use proxy::{Attack, Fault, Proxy, Way};
pub use site::{Site, in_private_view};
pub use tunnel::{Client, Plan, Tunnel};
pub use wire::{End, Wire};

/// How long anything may take before a test calls it stuck. Long, because it
/// must never be the machine's load that fails a test.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// How long something that must not happen is waited for. A correct program
/// passes whatever this is; a wrong one is caught more surely by a longer wait.
pub const ABSENCE: Duration = Duration::from_millis(300);

/// Asks until there is an answer.
///
/// # Panics
/// When there is none within [`PATIENCE`].
#[track_caller]
pub fn until<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    match within(PATIENCE, &mut ask) {
        Some(answer) => answer,
        None => panic!("waited {PATIENCE:?} in vain: {what}"),
    }
}

/// Asks until there is an answer or the time is up.
pub fn within<T>(limit: Duration, mut ask: impl FnMut() -> Option<T>) -> Option<T> {
    let deadline = Instant::now() + limit;
    let mut pause = Duration::from_millis(1);
    loop {
        if let Some(answer) = ask() {
            return Some(answer);
        }
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return None;
        }
        std::thread::sleep(pause.min(left));
        pause = (pause * 2).min(Duration::from_millis(20));
    }
}

/// The path of the function it stands in, as `interop::wrong_key`.
#[macro_export]
macro_rules! test_name {
    () => {{
        fn here() {}
        $crate::name_of(&here)
    }};
}

#[doc(hidden)]
pub fn name_of<T>(_: &T) -> &'static str {
    std::any::type_name::<T>().trim_end_matches("::here")
}

/// Ends the test as skipped unless every program named is on this machine.
/// With `SPIPED_REQUIRE_INTEROP=1` a missing one fails the test instead.
#[macro_export]
macro_rules! need {
    ($($program:expr),+ $(,)?) => {
        if !$crate::present($crate::test_name!(), &[$($program),+]) {
            return;
        }
    };
}

/// The programs under test: those that Cargo built for this test, or those in
/// the folder that `SPIPED_UNDER_TEST_DIR` names.
#[macro_export]
macro_rules! ours {
    () => {
        $crate::Maker::under_test(env!("CARGO_BIN_EXE_spiped"), env!("CARGO_BIN_EXE_spipe"))
    };
}

/// Ends the test as skipped unless the C programs are on this machine.
#[macro_export]
macro_rules! theirs {
    () => {
        match $crate::Maker::c($crate::test_name!()) {
            Some(maker) => maker,
            None => return,
        }
    };
}

/// Makes two tests of each function: one for the programs under test, one for
/// the C programs, so that a promise is known to be one that C keeps too.
#[macro_export]
macro_rules! for_both {
    ($($promise:ident),+ $(,)?) => {
        mod ours {
            $(#[test] fn $promise() { super::$promise(&$crate::ours!()); })+
        }
        mod c {
            $(#[test] fn $promise() { super::$promise(&$crate::theirs!()); })+
        }
    };
}

/// Makes a test of each function, which takes a [`Plan`], for each pairing of
/// the programs under test with each other and with the C ones: `of spiped`
/// three, `of spipe` three, and all six without either.
#[macro_export]
macro_rules! for_each_pairing {
    (of spiped: $($promise:ident),+ $(,)?) => {
        $(mod $promise { $crate::spiped_pairings!($promise); })+
    };
    (of spipe: $($promise:ident),+ $(,)?) => {
        $(mod $promise { $crate::spipe_pairings!($promise); })+
    };
    ($($promise:ident),+ $(,)?) => {
        $(mod $promise {
            $crate::spiped_pairings!($promise);
            $crate::spipe_pairings!($promise);
        })+
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! spiped_pairings {
    ($promise:ident) => {
        #[test]
        fn our_spiped_to_our_spiped() {
            super::$promise(&$crate::Plan::new(&$crate::ours!(), &$crate::ours!()));
        }
        #[test]
        fn our_spiped_to_c_spiped() {
            super::$promise(&$crate::Plan::new(&$crate::ours!(), &$crate::theirs!()));
        }
        #[test]
        fn c_spiped_to_our_spiped() {
            super::$promise(&$crate::Plan::new(&$crate::theirs!(), &$crate::ours!()));
        }
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! spipe_pairings {
    ($promise:ident) => {
        #[test]
        fn our_spipe_to_our_spiped() {
            super::$promise(&$crate::Plan::new(&$crate::ours!(), &$crate::ours!()).with_spipe());
        }
        #[test]
        fn our_spipe_to_c_spiped() {
            super::$promise(&$crate::Plan::new(&$crate::ours!(), &$crate::theirs!()).with_spipe());
        }
        #[test]
        fn c_spipe_to_our_spiped() {
            super::$promise(&$crate::Plan::new(&$crate::theirs!(), &$crate::ours!()).with_spipe());
        }
    };
}
