//! Prepares the system's resolver for the sandbox: loads its modules, and has the process read files as the
//! user nobody.

use std::io;

use nix::unistd::{Gid, Uid, geteuid, setfsgid, setfsuid, setgroups};

/// The ids of the user and the group nobody in the kernel.
const NOBODY: u32 = 65534;

/// Loads the modules that the resolver would otherwise load at its first look-up, as in the sandbox no memory
/// can become code. It looks no name up, which might take long.
///
/// A module that cannot be loaded is skipped, as the resolver skips it too.
pub(super) fn load_modules() {
    #[cfg(all(target_env = "gnu", not(target_feature = "crt-static")))]
    for module in modules(&std::fs::read_to_string("/etc/nsswitch.conf").unwrap_or_default()) {
        let Ok(library) = std::ffi::CString::new(format!("libnss_{module}.so.2")) else {
            continue;
        };
        // SAFETY: the name is a C string. Loading runs code of the library that a look-up would run as
        // well, and there is no other thread.
        unsafe { nix::libc::dlopen(library.as_ptr(), nix::libc::RTLD_NOW) };
    }
}

/// Returns the modules for host names that nsswitch.conf(5) lists, without the conditions in brackets.
#[cfg_attr(not(target_env = "gnu"), allow(dead_code))]
fn modules(nsswitch: &str) -> Vec<&str> {
    let is_name = |word: &&str| {
        !word.is_empty()
            && word
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'))
    };
    nsswitch
        .lines()
        .filter_map(|line| line.trim_start().strip_prefix("hosts:"))
        .flat_map(|services| {
            let services = services.split('#').next().unwrap_or_default();
            services.split(']').flat_map(|part| {
                part.split('[')
                    .next()
                    .unwrap_or_default()
                    .split_ascii_whitespace()
            })
        })
        .filter(is_name)
        .collect()
}

/// Has a process that is root open files as the user nobody from now on: all users may read the
/// configuration of the resolver, and no other file is needed. The sandbox takes the system calls that could
/// undo this.
pub(super) fn read_as_nobody() -> io::Result<()> {
    if !geteuid().is_root() {
        return Ok(());
    }
    setgroups(&[])?;
    setfsgid(Gid::from_raw(NOBODY));
    setfsuid(Uid::from_raw(NOBODY));
    // The first calls return the id of before, whether they succeed or not; so call them again.
    let group = setfsgid(Gid::from_raw(NOBODY));
    let user = setfsuid(Uid::from_raw(NOBODY));
    if (user.as_raw(), group.as_raw()) != (NOBODY, NOBODY) {
        return Err(io::ErrorKind::PermissionDenied.into());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modules_are_the_words_between_conditions() {
        let text = "passwd: files\n# hosts: no\n  hosts: files mdns4_minimal [NOTFOUND=return] \
                    resolve [!UNAVAIL=return]dns # myhostname\nnetworks: files\n";
        assert_eq!(modules(text), ["files", "mdns4_minimal", "resolve", "dns"]);
    }

    #[test]
    fn what_is_no_name_of_a_module_is_none() {
        assert_eq!(modules("hosts: ../x a/b [ dns"), [""; 0]);
        assert_eq!(modules(""), [""; 0]);
    }
}
