//! A block device of the bench's own, with nobody else's writes on it: an ext4 image behind a loop device.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use crate::options::Options;

const SIZE: u64 = 2 << 30;
/// Field of `/sys/block/…/stat`: sectors written, of 512 bytes.
const SECTORS_WRITTEN: usize = 6;

/// A mounted loop device; unmounted and detached when it is dropped.
pub struct Device {
    home: TempDir,
    /// Such as `loop0`.
    pub name: String,
}

impl Device {
    /// Makes one.
    ///
    /// # Errors
    /// Why it cannot be made here: mostly, for want of privileges.
    pub fn make(options: &Options) -> Result<Device, String> {
        let home = options.fresh_directory();
        let image = home.path().join("image");
        let made = File::create(&image).and_then(|file| file.set_len(SIZE));
        made.map_err(|error| format!("{}: {error}", image.display()))?;
        // Nothing may be left to be initialised later: it would count as ours.
        let late = "lazy_itable_init=0,lazy_journal_init=0,nodiscard";
        run(Command::new("mkfs.ext4").args(["-q", "-F", "-E", late]).arg(&image))?;
        let path = run(Command::new("losetup").args(["--find", "--show"]).arg(&image))?;
        // From here on, dropping it undoes what was done.
        let device = Device { name: path.trim_start_matches("/dev/").to_owned(), home };
        fs::create_dir(device.directory()).map_err(|error| error.to_string())?;
        run(Command::new("mount").arg(&path).arg(device.directory()))?;
        Ok(device)
    }

    /// Where it is mounted.
    pub fn directory(&self) -> PathBuf {
        self.home.path().join("mounted")
    }
}

impl Drop for Device {
    fn drop(&mut self) {
        // What was not done need not be undone.
        let _ = run(Command::new("umount").arg(self.directory()));
        if let Err(problem) =
            run(Command::new("losetup").arg("--detach").arg(Path::new("/dev").join(&self.name)))
        {
            eprintln!("{problem}");
        }
    }
}

/// Bytes that a device has written so far, after everything waiting was.
pub fn written(name: &str) -> u64 {
    rustix::fs::sync();
    let stat = fs::read_to_string(format!("/sys/block/{name}/stat")).expect("the device is there");
    let sectors = stat.split_whitespace().nth(SECTORS_WRITTEN);
    sectors.and_then(|number| number.parse::<u64>().ok()).expect("a number") * 512
}

fn run(command: &mut Command) -> Result<String, String> {
    let name = command.get_program().to_string_lossy().into_owned();
    let output = command.output().map_err(|error| format!("{name}: {error}"))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned());
    }
    Err(format!("{name}: {}", String::from_utf8_lossy(&output.stderr).trim()))
}
