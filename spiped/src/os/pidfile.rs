//! The pidfile, which tells scripts the process id of the daemon.
//!
//! The file has the process id in decimal without a newline, as C spiped writes it. It stays when the daemon
//! ends.

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use nix::fcntl::OFlag;

use crate::os::os_error::os_error;

/// The reason why a pidfile was not written.
#[derive(Debug, thiserror::Error)]
pub enum PidfileError {
    /// The system refuses to open or write the pidfile.
    #[error("cannot write pidfile {}: {}", .path.display(), os_error(.error))]
    Write {
        /// The pidfile.
        path: PathBuf,
        /// The system's error.
        error: io::Error,
    },
    /// The path leads elsewhere, or is not a file that can be read back.
    #[error("refusing to write pidfile {}: it is {what}", .path.display())]
    Unsafe {
        /// The pidfile.
        path: PathBuf,
        /// The kind of thing that the path is, with an article.
        what: &'static str,
    },
}

/// Writes this process's id to `path`, over what an earlier daemon left there.
///
/// A new file gets mode 0666 less the umask; an old one keeps its owner and mode. `/dev/null` and
/// other character devices are fine, for those who want no pidfile.
///
/// # Errors
///
/// The file cannot be written, or `path` is a symbolic link, has other names or is of another
/// kind: whoever put such a thing there could otherwise choose which file gets overwritten.
pub fn write(path: &Path) -> Result<(), PidfileError> {
    let failed = |error| PidfileError::Write {
        path: path.to_owned(),
        error,
    };
    let refused = |what| PidfileError::Unsafe {
        path: path.to_owned(),
        what,
    };
    // With O_NONBLOCK, opening a FIFO that nobody reads fails instead of waiting.
    let opened = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o666)
        .custom_flags((OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK).bits())
        .open(path);
    let mut file = match opened {
        Ok(file) => file,
        Err(_) if path.is_symlink() => return Err(refused("a symbolic link")),
        Err(error) => return Err(failed(error)),
    };
    let metadata = file.metadata().map_err(failed)?;
    let kind = metadata.file_type();
    if !kind.is_file() && !kind.is_char_device() {
        return Err(refused("not a file"));
    }
    if kind.is_file() {
        if metadata.nlink() > 1 {
            return Err(refused("a hard link with other names"));
        }
        file.set_len(0).map_err(failed)?;
    }
    // This is one write, so that no reader sees half a number.
    file.write_all(std::process::id().to_string().as_bytes())
        .map_err(failed)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{PermissionsExt, symlink};

    use tempfile::TempDir;

    use super::*;

    fn own_id() -> String {
        std::process::id().to_string()
    }

    #[test]
    fn holds_the_process_id_without_a_newline() {
        let dir = TempDir::new().unwrap();
        let path = dir.path().join("pid");
        write(&path).unwrap();
        assert_eq!(fs::read_to_string(path).unwrap(), own_id());
    }

    #[test]
    fn a_stale_file_is_overwritten_and_keeps_its_mode() {
        let dir = TempDir::new().unwrap();
        let path = dir.path().join("pid");
        fs::write(&path, "1234567890123").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        write(&path).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), own_id());
        assert_eq!(
            fs::metadata(&path).unwrap().permissions().mode() & 0o777,
            0o600
        );
    }

    #[test]
    fn links_are_refused_and_what_they_lead_to_is_untouched() {
        let dir = TempDir::new().unwrap();
        let victim = dir.path().join("victim");
        fs::write(&victim, "precious").unwrap();
        let soft = dir.path().join("soft");
        symlink(&victim, &soft).unwrap();
        let hard = dir.path().join("hard");
        fs::hard_link(&victim, &hard).unwrap();
        for link in [soft, hard] {
            let error = write(&link).unwrap_err();
            assert!(matches!(error, PidfileError::Unsafe { .. }), "{error}");
        }
        assert_eq!(fs::read_to_string(victim).unwrap(), "precious");
    }

    #[test]
    fn a_dangling_link_creates_nothing() {
        let dir = TempDir::new().unwrap();
        let absent = dir.path().join("absent");
        let link = dir.path().join("link");
        symlink(&absent, &link).unwrap();
        let error = write(&link).unwrap_err();
        assert!(
            error.to_string().ends_with("it is a symbolic link"),
            "{error}"
        );
        assert!(!absent.exists());
    }

    #[test]
    fn a_fifo_is_refused_and_does_not_block() {
        let dir = TempDir::new().unwrap();
        let fifo = dir.path().join("fifo");
        nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::from_bits_truncate(0o600)).unwrap();
        write(&fifo).unwrap_err();
        // With a reader the open succeeds, and the file is refused for its kind.
        let _reader = OpenOptions::new()
            .read(true)
            .write(true)
            .open(&fifo)
            .unwrap();
        let error = write(&fifo).unwrap_err();
        assert!(matches!(error, PidfileError::Unsafe { .. }), "{error}");
    }

    #[test]
    fn the_null_device_is_fine() {
        write(Path::new("/dev/null")).unwrap();
    }

    #[test]
    fn errors_name_the_file_and_the_reason() {
        let error = write(Path::new("/nonexistent/pid")).unwrap_err();
        assert_eq!(
            error.to_string(),
            "cannot write pidfile /nonexistent/pid: no such file or directory"
        );
    }
}
