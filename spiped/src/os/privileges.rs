//! Changes the user and group of the process (`-u`).
//!
//! The new identity is looked up early, so that a wrong name is a start-up error. The process assumes it
//! once it has done everything that needs the old identity: ports, keys and the pidfile.

use std::io;

use nix::errno::Errno;
use nix::unistd::{
    Gid, Group, Uid, User, getegid, geteuid, getgid, getuid, setegid, seteuid, setgid, setuid,
};

use crate::os::os_error::os_error;

/// A user, a group, or both.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Identity {
    uid: Option<Uid>,
    gid: Option<Gid>,
}

/// What has become of the supplementary groups of the process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Groups {
    /// There are none.
    GivenUp,
    /// The process keeps what it had, as it may not give them up.
    Kept,
}

impl Groups {
    /// Whether the process has supplementary groups that it should not have.
    #[must_use]
    pub fn are_left(self) -> bool {
        self == Self::Kept && has_groups()
    }
}

/// The error of a `-u` argument that gives no user or group.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// The argument is empty.
    #[error("no user or group given")]
    Empty,
    /// The argument ends with a colon.
    #[error("no group given after the colon in {0:?}")]
    EmptyGroup(String),
    /// The user is neither a name that the system knows nor a number.
    #[error("no such user: {0:?}")]
    NoUser(String),
    /// The group is neither a name that the system knows nor a number.
    #[error("no such group: {0:?}")]
    NoGroup(String),
    /// The system's user database failed, or there is none.
    #[error("cannot look up {what} {name:?}: {}; numbers (-u UID:GID) need no look-up", os_error(.error))]
    Lookup {
        /// The kind of the name: a user or a group.
        what: &'static str,
        /// The name of the user or group.
        name: String,
        /// The database's error.
        error: io::Error,
    },
}

/// The error of a process that does not have the user and group that it should have. It must exit.
#[derive(Debug, thiserror::Error)]
pub enum PrivilegeError {
    /// The system refused a step.
    #[error("cannot {step}: {}", os_error(.error))]
    Refused {
        /// The step that was tried.
        step: &'static str,
        /// The system's error.
        error: io::Error,
    },
    /// Every step worked, but the process could take the old identity back.
    #[error("dropped privileges, but they can be regained")]
    Regained,
}

impl Identity {
    /// Reads `USER`, `:GROUP` or `USER:GROUP`; each is a name or else a number.
    ///
    /// A user without a group gets its primary group from the system's user database. The group stays as
    /// it was for the user that the process is already (but root), for a number that the database does not
    /// know, or where there is no database.
    ///
    /// # Errors
    ///
    /// A name is missing or unknown, or the database does not answer when a name or the primary group of a
    /// number is looked up.
    pub fn parse(text: &str) -> Result<Self, IdentityError> {
        if text.is_empty() {
            return Err(IdentityError::Empty);
        }
        let (user, group) = match text.split_once(':') {
            Some((_, "")) => return Err(IdentityError::EmptyGroup(text.to_owned())),
            Some((user, group)) => (user, Some(group)),
            None => (text, None),
        };
        let user = match user {
            "" => None,
            name => Some(FoundUser::find(name)?),
        };
        let gid = match (group, &user) {
            (Some(name), _) => Some(find_group(name)?),
            (None, Some(user)) if !user.uid().is_root() && user.uid() == getuid() => None,
            (None, Some(user)) => user.primary_group()?,
            (None, None) => None,
        };
        let uid = user.as_ref().map(FoundUser::uid);
        Ok(Self { uid, gid })
    }

    /// Changes the process to this user and group, in all threads and for good, and gives up all
    /// supplementary groups. A process that is this user and group already, as a service manager or a
    /// container has started it, may lack the right to give groups up; it keeps them.
    ///
    /// # Errors
    ///
    /// A step fails, or the old identity could be taken back.
    pub fn assume(self) -> Result<Groups, PrivilegeError> {
        let before = (getuid(), getgid());
        let groups = match clear_groups(self.gid.unwrap_or(before.1)) {
            Err(Errno::EPERM) if self.is_current() => Groups::Kept,
            cleared => cleared
                .map(|()| Groups::GivenUp)
                .map_err(refused("give up supplementary groups"))?,
        };
        if let Some(gid) = self.gid {
            setgid(gid).map_err(refused("change the group"))?;
        }
        if let Some(uid) = self.uid {
            setuid(uid).map_err(refused("change the user"))?;
        }
        self.verify(before)?;
        Ok(groups)
    }

    fn is_current(self) -> bool {
        let (uid, gid) = (self.uid, self.gid);
        uid.is_none_or(|uid| (getuid(), geteuid()) == (uid, uid))
            && gid.is_none_or(|gid| (getgid(), getegid()) == (gid, gid))
    }

    fn verify(self, (old_uid, old_gid): (Uid, Gid)) -> Result<(), PrivilegeError> {
        let uid = self.uid.unwrap_or(old_uid);
        let gid = self.gid.unwrap_or(old_gid);
        if (getuid(), geteuid()) != (uid, uid) || (getgid(), getegid()) != (gid, gid) {
            return Err(PrivilegeError::Regained);
        }
        if uid.is_root() {
            // Root may become any user, so there is nothing to check.
            return Ok(());
        }
        // The real and effective ids are right; these calls find a saved id or a capability that is left.
        let root = Uid::from_raw(0);
        let user_regained = [root, old_uid]
            .into_iter()
            .any(|old| old != uid && (setuid(old).is_ok() || seteuid(old).is_ok()));
        let group_regained = [Gid::from_raw(0), old_gid]
            .into_iter()
            .any(|old| old != gid && (setgid(old).is_ok() || setegid(old).is_ok()));
        if user_regained || group_regained {
            return Err(PrivilegeError::Regained);
        }
        Ok(())
    }
}

/// The user that the command line names.
enum FoundUser {
    Entry(User),
    Number(Uid),
}

impl FoundUser {
    /// Looks a user up. A text of digits is first looked up as a name, as POSIX requires of chown, then
    /// taken as a number, which needs no database.
    fn find(name: &str) -> Result<Self, IdentityError> {
        match (User::from_name(name), number(name)) {
            (Ok(Some(user)), _) => Ok(Self::Entry(user)),
            (_, Some(number)) => Ok(Self::Number(Uid::from_raw(number))),
            (Ok(None), None) => Err(IdentityError::NoUser(name.to_owned())),
            (Err(error), None) => Err(lookup("user", name, error)),
        }
    }

    fn uid(&self) -> Uid {
        match self {
            Self::Entry(user) => user.uid,
            Self::Number(uid) => *uid,
        }
    }

    fn primary_group(&self) -> Result<Option<Gid>, IdentityError> {
        match self {
            Self::Entry(user) => Ok(Some(user.gid)),
            Self::Number(uid) => match User::from_uid(*uid) {
                Ok(user) => Ok(user.map(|user| user.gid)),
                // There is no database. After any other failure the user might have a group, and the
                // daemon must not keep its old group by mistake.
                Err(Errno::ENOENT) => Ok(None),
                Err(error) => Err(lookup("the group of user", &uid.to_string(), error)),
            },
        }
    }
}

fn find_group(name: &str) -> Result<Gid, IdentityError> {
    match (Group::from_name(name), number(name)) {
        (Ok(Some(group)), _) => Ok(group.gid),
        (_, Some(number)) => Ok(Gid::from_raw(number)),
        (Ok(None), None) => Err(IdentityError::NoGroup(name.to_owned())),
        (Err(error), None) => Err(lookup("group", name, error)),
    }
}

fn lookup(what: &'static str, name: &str, error: Errno) -> IdentityError {
    IdentityError::Lookup {
        what,
        name: name.to_owned(),
        error: error.into(),
    }
}

/// Reads a numeric id. Returns none for the id of all ones, which the system takes as "leave unchanged".
fn number(text: &str) -> Option<u32> {
    if !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    text.parse().ok().filter(|&id| id != u32::MAX)
}

/// Gives up all supplementary groups. The process gets `gid` as its group next.
#[cfg(not(target_vendor = "apple"))]
fn clear_groups(_gid: Gid) -> nix::Result<()> {
    nix::unistd::setgroups(&[])
}

/// Gives up all supplementary groups but `gid`. macOS reads an empty list as group 0, `wheel`, so the list
/// holds the one group that is wanted. With a list set, macOS asks no directory for further groups.
#[cfg(target_vendor = "apple")]
fn clear_groups(gid: Gid) -> nix::Result<()> {
    let groups = [gid.as_raw()];
    // SAFETY: the system reads one group from the list, which has one.
    Errno::result(unsafe { nix::libc::setgroups(1, groups.as_ptr()) }).map(drop)
}

#[cfg(not(target_vendor = "apple"))]
fn has_groups() -> bool {
    nix::unistd::getgroups().is_ok_and(|groups| groups.iter().any(|&group| group != getgid()))
}

/// Whether there are any is not asked on macOS, where each process has some.
#[cfg(target_vendor = "apple")]
fn has_groups() -> bool {
    true
}

fn refused(step: &'static str) -> impl FnOnce(Errno) -> PrivilegeError {
    move |error| PrivilegeError::Refused {
        step,
        error: error.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids(text: &str) -> (Option<u32>, Option<u32>) {
        let identity = Identity::parse(text).unwrap();
        (identity.uid.map(Uid::as_raw), identity.gid.map(Gid::as_raw))
    }

    #[test]
    fn names_and_numbers_in_all_three_forms() {
        assert_eq!(ids("root"), (Some(0), Some(0)));
        assert_eq!(ids("0"), (Some(0), Some(0)));
        assert_eq!(ids(":0"), (None, Some(0)));
        assert_eq!(ids("root:4000000000"), (Some(0), Some(4_000_000_000)));
        assert_eq!(
            ids("4000000001:4000000000"),
            (Some(4_000_000_001), Some(4_000_000_000))
        );
    }

    #[test]
    fn a_number_without_an_entry_brings_no_group() {
        assert_eq!(ids("4000000001"), (Some(4_000_000_001), None));
    }

    #[test]
    fn names_nobody_has_are_errors() {
        for text in [
            "no-such-user",
            "12x",
            "-1",
            "+1",
            "4294967295",
            "4294967296",
            " root",
        ] {
            let error = Identity::parse(text).unwrap_err();
            assert!(matches!(error, IdentityError::NoUser(_)), "{text}: {error}");
        }
        for text in [
            ":no-such-group",
            "root:no-such-group",
            "root:0:0",
            ":4294967295",
        ] {
            let error = Identity::parse(text).unwrap_err();
            assert!(
                matches!(error, IdentityError::NoGroup(_)),
                "{text}: {error}"
            );
        }
    }

    #[test]
    fn empty_parts_are_errors() {
        assert!(matches!(Identity::parse(""), Err(IdentityError::Empty)));
        for text in [":", "root:"] {
            assert!(matches!(
                Identity::parse(text),
                Err(IdentityError::EmptyGroup(_))
            ));
        }
    }

    #[test]
    fn a_name_with_a_nul_byte_is_an_error() {
        Identity::parse("ro\0ot").unwrap_err();
        Identity::parse(":ro\0ot").unwrap_err();
    }
}
