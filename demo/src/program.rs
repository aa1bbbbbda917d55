//! The spiped that is shown.

use std::env;
use std::path::PathBuf;
use std::process::Command;

use crate::error::{DemoError, system};

/// The program that `given` names, else the one beside this one. Cargo, if it runs this, builds that
/// first.
pub(crate) fn find(given: Option<PathBuf>) -> Result<PathBuf, DemoError> {
    if let Some(path) = given {
        // A bare name would be looked for in PATH.
        return path.canonicalize().map_err(|_| DemoError::NoProgram(path));
    }
    if let Some(cargo) = env::var_os("CARGO") {
        let mut command = Command::new(cargo);
        command.args(["build", "-p", "spiped", "--bins"]);
        if !cfg!(debug_assertions) {
            command.arg("--release");
        }
        let built = command
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .status()
            .map_err(system("cannot start cargo"))?;
        if !built.success() {
            return Err(DemoError::NotBuilt);
        }
    }
    let itself = env::current_exe().map_err(system("cannot find this program's own file"))?;
    let beside = itself.with_file_name("spiped");
    match beside.is_file() {
        true => Ok(beside),
        false => Err(DemoError::NoProgram(beside)),
    }
}
