//! Memory for the key: a page of its own that is never swapped out, is in no core file and is empty
//! in a child process.
//!
//! Keys of connections are not kept here: each lives as long as its connection, and locked memory
//! is scarce (8 MiB by default) where connections are many.

use std::io;
use std::num::NonZeroUsize;
use std::ptr::NonNull;

#[cfg(target_os = "linux")]
use nix::sys::mman::MmapAdvise;
use nix::sys::mman::{self, MapFlags, ProtFlags};
use spiped_proto::Secret;
use zeroize::Zeroize;

/// Moves a secret into locked memory, and says how that went. Where the page, or a property of it, is
/// refused, `RLIMIT_MEMLOCK` being 0 for one, the secret stays where it was.
pub fn lock(secret: Secret) -> (Secret, io::Result<()>) {
    match Page::new() {
        Ok(mut page) => {
            let locked = secret.placed(|key| {
                page.key_mut().copy_from_slice(key);
                page
            });
            (locked, Ok(()))
        }
        Err(error) => (secret, Err(error)),
    }
}

/// A page that begins with the key.
struct Page {
    start: NonNull<[u8; 32]>,
    size: NonZeroUsize,
}

// SAFETY: it owns its memory as a Box does; the pointer is nowhere else.
unsafe impl Send for Page {}
// SAFETY: shared references to it only read.
unsafe impl Sync for Page {}

impl Page {
    fn new() -> io::Result<Self> {
        // The system rounds it up to a page.
        let size = NonZeroUsize::MIN;
        let protection = ProtFlags::PROT_READ | ProtFlags::PROT_WRITE;
        // SAFETY: a new mapping, anonymous and at an address of the system's choice, touches
        // nothing that exists.
        let start = unsafe { mman::mmap_anonymous(None, size, protection, MapFlags::MAP_PRIVATE) }?;
        let page = Self {
            start: start.cast(),
            size,
        };
        // SAFETY: the range is the mapping that has just been made; a whole page, zeroed.
        unsafe { mman::mlock(start, size.get()) }?;
        #[cfg(target_os = "linux")]
        for advice in [MmapAdvise::MADV_DONTDUMP, MmapAdvise::MADV_WIPEONFORK] {
            // SAFETY: as above; neither changes what this process reads there.
            unsafe { mman::madvise(start, size.get(), advice) }?;
        }
        Ok(page)
    }

    fn key_mut(&mut self) -> &mut [u8; 32] {
        // SAFETY: the mapping is at least a page long, aligned to it, zeroed, and this is the only
        // reference to it.
        unsafe { self.start.as_mut() }
    }
}

impl AsRef<[u8; 32]> for Page {
    fn as_ref(&self) -> &[u8; 32] {
        // SAFETY: as above; only a `&mut Page` gives a reference that writes.
        unsafe { self.start.as_ref() }
    }
}

impl Drop for Page {
    fn drop(&mut self) {
        self.key_mut().zeroize();
        // SAFETY: this is the mapping, and no reference to it is left.
        let _ = unsafe { mman::munmap(self.start.cast(), self.size.get()) };
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    /// What the system says of the mapping that an address lies in.
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

    #[test]
    fn the_page_is_locked_kept_out_of_core_files_and_wiped_in_children() {
        let page = Page::new().unwrap();
        let maps = std::fs::read_to_string("/proc/self/smaps").unwrap();
        let flags = flags(&maps, page.as_ref().as_ptr());
        for wanted in ["lo", "dd", "wf"] {
            assert!(
                flags.split_whitespace().any(|flag| flag == wanted),
                "{wanted} is not in {flags}"
            );
        }
    }

    #[test]
    fn a_locked_secret_is_the_same_secret() {
        let bytes = std::cell::Cell::new([0; 32]);
        let secret = Secret::from_key_file(b"key");
        let (locked, outcome) = lock(secret.clone());
        outcome.unwrap();
        let see = |secret: &Secret| {
            let _ = secret.placed(|key| {
                bytes.set(*key);
                Seen(*key)
            });
            bytes.get()
        };
        assert_ne!(see(&secret), [0; 32]);
        assert_eq!(see(&locked), see(&secret));
    }

    struct Seen([u8; 32]);

    impl AsRef<[u8; 32]> for Seen {
        fn as_ref(&self) -> &[u8; 32] {
            &self.0
        }
    }
}
