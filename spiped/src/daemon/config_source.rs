//! The source of the configuration of the pipes, which each reload reads again; and the permissions
//! that the process needs for that.

use std::fmt;
use std::fs;
use std::iter;
use std::path::{Path, PathBuf};

use spiped_tokio::{Address, BindAddress, Endpoint};

use crate::cli::Pipes;
use crate::config::file::{self, KeyFiles};
use crate::config::settings::PipeConfig;
use crate::config::setup::SetupError;
use crate::daemon::bind::BoundPipe;
use crate::keys::{self, Keys};
use crate::os::sandbox::Permissions;

/// The most links that the system follows on the way to a file.
const LINKS_MAX: usize = 40;

/// The source of the configuration: a command line, or a file.
#[derive(Clone, Debug)]
pub enum ConfigSource {
    /// The one pipe of a command line.
    CommandLine(Box<PipeConfig>),
    /// All pipes of a file.
    File(PathBuf),
}

impl fmt::Display for ConfigSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::CommandLine(_) => f.write_str("the command line"),
            Self::File(file) => file.display().fmt(f),
        }
    }
}

impl ConfigSource {
    /// Makes the source of a command line, which has one pipe or names a file.
    ///
    /// # Errors
    ///
    /// An address is written wrongly, or no peer of the source can be in a network of `--accept-proxy`.
    pub fn of(pipes: Pipes) -> Result<Self, SetupError> {
        Ok(match pipes {
            Pipes::One(options) => Self::CommandLine(Box::new(PipeConfig::from_options(options)?)),
            Pipes::File(file) => Self::File(file),
        })
    }

    /// Reads the pipes at the start.
    ///
    /// # Errors
    ///
    /// The file cannot be read, or has mistakes.
    pub fn read(&self) -> Result<Vec<PipeConfig>, SetupError> {
        Ok(match self {
            Self::CommandLine(pipe) => vec![(**pipe).clone()],
            Self::File(path) => file::read(path, KeyFiles::Leave)?,
        })
    }

    /// Reads the pipes again, for a reload. A file that is a pipe or a device cannot be read twice: then the
    /// pipes that run are returned.
    ///
    /// # Errors
    ///
    /// The file cannot be read, or has mistakes.
    pub fn read_again(
        &self,
        running: &[(PipeConfig, Keys)],
    ) -> Result<Vec<PipeConfig>, SetupError> {
        let is_stream = |file: &Path| {
            let kind = fs::metadata(file).map(|metadata| metadata.file_type());
            kind.is_ok_and(|kind| !kind.is_file() && !kind.is_dir())
        };
        match self {
            Self::File(file) if is_stream(file) => {
                Ok(running.iter().map(|(config, _)| config.clone()).collect())
            }
            _ => self.read(),
        }
    }

    /// Returns the permissions that the process needs once pipes run: to dial targets, to look names up again
    /// and follow them, and to reload.
    #[must_use]
    pub fn permissions(&self, pipes: &[BoundPipe]) -> Permissions {
        let mut permissions = Permissions::default();
        for pipe in pipes {
            let config = &pipe.config;
            for target in &pipe.targets {
                permissions.join(Permissions::of(target, &pipe.bind));
            }
            if config.connection.resolve_interval.is_some() {
                let bind = config.bind.as_ref().map(BindAddress::address);
                let mut addresses = config.targets.iter().chain([&config.source]).chain(bind);
                permissions.names |= addresses.any(Address::is_name);
                if config.source.is_name() {
                    permissions.listen = true;
                    let endpoint = pipe.listening.endpoint().ok();
                    permissions
                        .bind
                        .extend(endpoint.and_then(|endpoint| endpoint.port()));
                }
            }
            for path in config.key.paths() {
                permissions.reads.extend(folders(path));
                let links = keys::links(path);
                permissions
                    .reads
                    .extend(links.iter().flat_map(|link| folders(link)));
            }
            if let Ok(Endpoint::Unix(path)) = pipe.listening.endpoint() {
                permissions.makes.extend(folder(&path));
            }
        }
        match self {
            Self::CommandLine(_) => {
                // The path of a unix socket is bound already, and no reload changes it.
                permissions.makes.clear();
            }
            // The file may have any pipes at the next reload.
            Self::File(file) => {
                permissions.reads.extend(folders(file));
                permissions.names = true;
                permissions.unix_sockets = true;
                permissions.listen = true;
                permissions.any_port = true;
            }
        }
        permissions
    }
}

/// Returns the folder of a file, and of each file on the way if it is a link. In a volume of Kubernetes a
/// file is a link by way of another link, which is replaced when the file changes.
fn folders(file: &Path) -> impl Iterator<Item = PathBuf> {
    let follow = |link: &PathBuf| Some(link.parent()?.join(fs::read_link(link).ok()?));
    // By components, so without a slash at the end: `read_link` would follow the link then.
    let files = iter::successors(Some(file.components().collect()), follow);
    files.take(1 + LINKS_MAX).filter_map(|file| folder(&file))
}

/// Returns the path to permit for a file: its folder, as another file may replace it; for a file in the root
/// the file itself, as the root would permit everything.
fn folder(file: &Path) -> Option<PathBuf> {
    let folder = match file.parent()? {
        none if none == Path::new("") => Path::new("."),
        folder => folder,
    };
    let is_root = fs::canonicalize(folder).is_ok_and(|folder| folder == Path::new("/"));
    Some(if is_root { file } else { folder }.to_owned())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use tempfile::TempDir;

    use super::*;

    #[test]
    fn links_are_followed_to_their_end_if_they_have_one() {
        let dir = TempDir::new().unwrap();
        let at = |name: &str| dir.path().join(name);
        for folder in ["one", "other"] {
            fs::create_dir(at(folder)).unwrap();
        }
        symlink(at("one/link"), at("link")).unwrap();
        symlink("../other/key", at("one/link")).unwrap();
        for link in ["link", "link/"] {
            let leads = folders(&at(link)).collect::<Vec<_>>();
            assert_eq!(leads, [at(""), at("one"), at("one/../other")]);
        }
        assert_eq!(folders(&at("other/key")).collect::<Vec<_>>(), [at("other")]);

        symlink("loop", at("one/loop")).unwrap();
        assert!(folders(&at("one/loop")).all(|folder| folder == at("one")));
    }

    #[test]
    fn nothing_opens_the_root() {
        for file in ["/key", "/usr/../key"] {
            assert_eq!(folder(Path::new(file)), Some(PathBuf::from(file)));
        }
        assert_eq!(folder(Path::new("/")), None);
        assert_eq!(folder(Path::new("key")), Some(PathBuf::from(".")));
    }
}
