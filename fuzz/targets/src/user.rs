//! The argument of `-u`.

use spiped::os::privileges::Identity;

/// A user, a group, or both, looked up in the system's database.
pub fn user(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    match Identity::parse(text) {
        Ok(_) => assert!(!text.is_empty() && !text.ends_with(':')),
        Err(error) => assert!(!error.to_string().contains(char::is_control)),
    }
}
