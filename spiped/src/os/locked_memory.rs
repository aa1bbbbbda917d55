//! Locked memory for keys: pages that are never swapped out, are left out of core files, and are empty in a
//! child process.
//!
//! The keys of connections are not kept here, because locked memory is scarce (8 MiB by default) and
//! connections may be many. Each lives as long as its connection.

use std::ffi::c_void;
use std::io;
use std::num::NonZeroUsize;
use std::ptr::NonNull;
use std::sync::Arc;

#[cfg(any(target_os = "freebsd", target_os = "openbsd", target_os = "netbsd"))]
use nix::libc;
#[cfg(any(target_os = "linux", target_os = "freebsd"))]
use nix::sys::mman::MmapAdvise;
use nix::sys::mman::{self, MapFlags, ProtFlags};
use spiped_proto::{HeldKey, Keyring};

#[cfg(target_os = "linux")]
use crate::os::syscall_filter::OptionalCall;

/// Returns copies of the keys in locked memory, side by side.
///
/// # Errors
///
/// The system refuses the memory or one of its properties, as when `RLIMIT_MEMLOCK` is too low.
pub fn lock(keys: &Keyring) -> io::Result<Keyring> {
    let Some(size) = NonZeroUsize::new(keys.len().saturating_mul(size_of::<HeldKey>())) else {
        return Ok(keys.clone());
    };
    #[cfg(target_os = "linux")]
    OptionalCall::Lock.check()?;
    let places = Arc::new(Area::new(size)?).places();
    let locked = keys.iter().zip(places);
    let locked = locked.map(|(key, place)| key.placed(|key| place.fill(key)));
    Ok(locked.collect())
}

/// The flags of the mapping for keys.
#[cfg(not(target_os = "openbsd"))]
const MAPPING: MapFlags = MapFlags::MAP_PRIVATE;
/// The flags of the mapping for keys. `MAP_CONCEAL` leaves it out of core files.
#[cfg(target_os = "openbsd")]
const MAPPING: MapFlags =
    MapFlags::MAP_PRIVATE.union(MapFlags::from_bits_retain(libc::MAP_CONCEAL));

/// A mapping that has room for any number of keys.
struct Area {
    start: NonNull<HeldKey>,
    size: NonZeroUsize,
}

// SAFETY: an area owns its memory as a Box does, and gives it away in places that do not overlap.
unsafe impl Send for Area {}
// SAFETY: a shared reference to an area reads nothing of its memory.
unsafe impl Sync for Area {}

impl Area {
    fn new(size: NonZeroUsize) -> io::Result<Self> {
        let protection = ProtFlags::PROT_READ | ProtFlags::PROT_WRITE;
        // SAFETY: the mapping is new, anonymous and at an address of the system's choice, so it touches
        // no memory that is in use.
        let start = unsafe { mman::mmap_anonymous(None, size, protection, MAPPING) }?;
        let area = Self {
            start: start.cast(),
            size,
        };
        // SAFETY: the range is the mapping that has just been made.
        unsafe { mman::mlock(start, size.get()) }?;
        // SAFETY: the range is that mapping: whole pages, all zero, which nobody else has.
        unsafe { leave_out_of_copies(start, size.get()) }?;
        Ok(area)
    }

    /// Returns all places for keys, each once.
    fn places(self: Arc<Self>) -> impl Iterator<Item = EmptyPlace> {
        let count = self.size.get() / size_of::<HeldKey>();
        (0..count).map(move |index| EmptyPlace {
            // SAFETY: `count` keys fit into the mapping, and `index` is less.
            key: unsafe { self.start.add(index) },
            area: Arc::clone(&self),
        })
    }
}

/// Leaves pages out of core files (on Linux and FreeBSD; on OpenBSD, [`MAPPING`] has done so), and makes them
/// empty in child processes (on Linux, FreeBSD, OpenBSD and NetBSD). Does nothing on other systems.
///
/// # Safety
///
/// The range has to be whole pages of a mapping that nobody else has, all zero.
unsafe fn leave_out_of_copies(start: NonNull<c_void>, size: usize) -> io::Result<()> {
    #[cfg(target_os = "linux")]
    const ADVICE: &[MmapAdvise] = &[MmapAdvise::MADV_DONTDUMP, MmapAdvise::MADV_WIPEONFORK];
    #[cfg(target_os = "freebsd")]
    const ADVICE: &[MmapAdvise] = &[MmapAdvise::MADV_NOCORE];
    #[cfg(target_os = "freebsd")]
    const EMPTY: libc::c_int = libc::INHERIT_ZERO;
    #[cfg(any(target_os = "openbsd", target_os = "netbsd"))]
    const EMPTY: libc::c_int = libc::MAP_INHERIT_ZERO;

    #[cfg(any(target_os = "linux", target_os = "freebsd"))]
    for &advice in ADVICE {
        // SAFETY: the caller owns the pages, and no advice changes what this process reads there.
        unsafe { mman::madvise(start, size, advice) }?;
    }
    #[cfg(any(target_os = "freebsd", target_os = "openbsd", target_os = "netbsd"))]
    // SAFETY: the caller owns the pages, and the call changes only what child processes read there.
    nix::errno::Errno::result(unsafe { libc::minherit(start.as_ptr(), size, EMPTY) })?;
    let _ = (start, size);
    Ok(())
}

impl Drop for Area {
    fn drop(&mut self) {
        // SAFETY: the range is the mapping, and each place keeps the area, so none is left.
        let _ = unsafe { mman::munmap(self.start.cast(), self.size.get()) };
    }
}

/// The memory for one key, before the key is in it.
struct EmptyPlace {
    key: NonNull<HeldKey>,
    area: Arc<Area>,
}

impl EmptyPlace {
    fn fill(self, key: &HeldKey) -> Place {
        // SAFETY: the place lies in the area, which still exists, and nobody else has it. It is aligned
        // for a key, because the mapping begins with a page. No key is there that had to be dropped.
        unsafe { self.key.write(key.clone()) };
        Place {
            key: self.key,
            _area: self.area,
        }
    }
}

/// The memory for one key and the key in it, which the place owns.
struct Place {
    key: NonNull<HeldKey>,
    _area: Arc<Area>,
}

// SAFETY: a place owns its key as a Box does; the pointer is nowhere else.
unsafe impl Send for Place {}
// SAFETY: shared references to a place only read.
unsafe impl Sync for Place {}

impl AsRef<HeldKey> for Place {
    fn as_ref(&self) -> &HeldKey {
        // SAFETY: `fill` has written a key there, which is dropped only with the place.
        unsafe { self.key.as_ref() }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        // SAFETY: `fill` has written a key there, and nobody has a reference to it any more. A key wipes
        // itself when dropped.
        unsafe { self.key.drop_in_place() };
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use spiped_proto::Secret;

    use super::*;

    /// Returns what /proc/self/smaps says of the mapping that an address lies in.
    fn flags(maps: &str, address: *const u8) -> String {
        let mut inside = false;
        for line in maps.lines() {
            let range = line.split(' ').next().and_then(|range| {
                let (start, end) = range.split_once('-')?;
                let number = |hex| usize::from_str_radix(hex, 16).ok();
                Some(number(start)?..number(end)?)
            });
            if let Some(range) = range {
                inside = range.contains(&address.addr());
            } else if let (true, Some(flags)) = (inside, line.strip_prefix("VmFlags:")) {
                return flags.to_owned();
            }
        }
        String::new()
    }

    fn keyring(count: usize) -> Keyring {
        let key = |number: usize| Secret::from_key_file(&number.to_be_bytes());
        (0..count).map(key).collect()
    }

    #[test]
    fn all_keys_are_locked_kept_out_of_core_files_and_wiped_in_children() {
        for count in [1, 1000] {
            let locked = lock(&keyring(count)).unwrap();
            let maps = std::fs::read_to_string("/proc/self/smaps").unwrap();
            for secret in locked.iter() {
                let flags = flags(&maps, address(secret));
                for wanted in ["lo", "dd", "wf"] {
                    assert!(
                        flags.split_whitespace().any(|flag| flag == wanted),
                        "{wanted} is not in {flags}"
                    );
                }
            }
        }
    }

    #[test]
    fn locked_keys_are_the_same_keys_in_the_same_order() {
        for count in [0, 1, 64, 65, 1000] {
            let locked = lock(&keyring(count)).unwrap();
            assert_eq!(locked.len(), count);
            for (locked, before) in locked.iter().zip(keyring(count).iter()) {
                assert!(locked.is_same(before));
            }
        }
    }

    #[test]
    fn keys_lie_side_by_side() {
        let locked = lock(&keyring(65)).unwrap();
        let first = address(locked.get(0).unwrap()).addr();
        for (secret, index) in locked.iter().zip(0..) {
            let address = address(secret).addr();
            assert_eq!(address - first, index * size_of::<HeldKey>());
        }
    }

    #[test]
    fn a_key_outlives_its_keyring() {
        let locked = lock(&keyring(3)).unwrap();
        let last = locked.get(2).unwrap().clone();
        drop(locked);
        assert!(last.is_same(keyring(3).get(2).unwrap()));
    }

    /// Returns the address of a secret.
    fn address(secret: &Secret) -> *const u8 {
        let mut address = std::ptr::null();
        let _ = secret.placed(|key| {
            address = std::ptr::from_ref(key).cast();
            key.clone()
        });
        address
    }
}
