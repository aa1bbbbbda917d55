//! Turns permissions into arguments of pledge(2) and unveil(2) of OpenBSD.

use std::path::{Path, PathBuf};

use super::Permissions;

/// Returns the promises, separated by spaces. With `error`, a call outside them fails with ENOSYS, as on
/// Linux, so that a new version of the C library does not kill the daemon.
pub(super) fn promises(permissions: &Permissions) -> String {
    let reads = permissions.names || permissions.listen || !permissions.reads.is_empty();
    let further = [
        ("dns", permissions.names),
        (
            "unix",
            permissions.unix_sockets || !permissions.makes.is_empty(),
        ),
        ("rpath", reads),
        // The daemon removes a unix socket that nobody listens on any more.
        ("cpath", permissions.listen),
    ];
    let further = further.iter().filter(|(_, wanted)| *wanted);
    let further = further.map(|(promise, _)| *promise);
    let all: Vec<_> = ["error", "stdio", "inet"]
        .into_iter()
        .chain(further)
        .collect();
    all.join(" ")
}

/// Returns the paths with their permissions: `r` to read, `w` to connect to a unix socket, `c` to make or
/// remove one. Without the promises `wpath` and `fattr`, `w` and `c` allow nothing else.
pub(super) fn paths(permissions: &Permissions) -> Vec<(PathBuf, &'static str)> {
    let mut paths = Vec::new();
    if permissions.unix_sockets {
        // The socket of a target may be anywhere, and the socket of syslog may be replaced.
        paths.push((Path::new("/").to_owned(), "w"));
    }
    // The files of the resolver come with the promise `dns`.
    paths.extend(permissions.reads.iter().map(|path| (path.clone(), "r")));
    for path in &permissions.makes {
        paths.retain(|(other, _)| other != path);
        paths.push((path.clone(), "rwc"));
    }
    if permissions.unix_sockets {
        // The permissions of a path replace those of the root, so each path needs `w` too.
        for (_, permissions) in &mut paths {
            if *permissions == "r" {
                *permissions = "rw";
            }
        }
    }
    paths
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(path: &str) -> std::collections::BTreeSet<PathBuf> {
        [PathBuf::from(path)].into()
    }

    #[test]
    fn a_fixed_target_takes_three_promises_and_no_path() {
        let permissions = Permissions::default();
        assert_eq!(promises(&permissions), "error stdio inet");
        assert_eq!(paths(&permissions), []);
    }

    #[test]
    fn names_and_keys_are_read() {
        let permissions = Permissions {
            names: true,
            reads: folder("/etc/spiped"),
            ..Permissions::default()
        };
        assert_eq!(promises(&permissions), "error stdio inet dns rpath");
        assert_eq!(paths(&permissions), [("/etc/spiped".into(), "r")]);
    }

    #[test]
    fn a_folder_of_sockets_that_is_read_too_allows_both() {
        let permissions = Permissions {
            unix_sockets: true,
            listen: true,
            reads: folder("/var/spiped")
                .union(&folder("/etc/spiped"))
                .cloned()
                .collect(),
            makes: folder("/var/spiped"),
            ..Permissions::default()
        };
        assert_eq!(promises(&permissions), "error stdio inet unix rpath cpath");
        assert_eq!(
            paths(&permissions),
            [
                ("/".into(), "w"),
                ("/etc/spiped".into(), "rw"),
                ("/var/spiped".into(), "rwc"),
            ]
        );
    }
}
