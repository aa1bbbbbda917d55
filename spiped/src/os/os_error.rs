//! Errors of the operating system as text for one line.

use std::io;

use nix::errno::Errno;

/// Returns the system's reason without its number. It begins in lower case, so that it can end a sentence:
/// "permission denied" where [`io::Error`] prints "Permission denied (os error 13)".
#[must_use]
pub fn os_error(error: &io::Error) -> String {
    match error.raw_os_error() {
        Some(number) => match Errno::from_raw(number) {
            // "Try again" there.
            Errno::EAGAIN => "resource temporarily unavailable".to_owned(),
            errno => uncapitalized(errno.desc()),
        },
        None => error.to_string(),
    }
}

fn uncapitalized(text: &str) -> String {
    let mut letters = text.chars();
    match (letters.next(), letters.clone().next()) {
        (Some(first), Some(second)) if second.is_lowercase() => {
            first.to_lowercase().chain(letters).collect()
        }
        _ => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn system_errors_lose_number_and_capital() {
        let denied = io::Error::from(Errno::EACCES);
        assert_eq!(os_error(&denied), "permission denied");
    }

    #[test]
    fn abbreviations_keep_their_capitals() {
        let broken = io::Error::from(Errno::EIO);
        assert_eq!(os_error(&broken), "I/O error");
    }

    #[test]
    fn other_errors_speak_for_themselves() {
        assert_eq!(os_error(&io::Error::other("No luck")), "No luck");
    }
}
