//! Files with secrets, which only the user that runs the server can read.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::Context;
use data_encoding::HEXLOWER_PERMISSIVE;
use headcount_store_diesel::adopt_owner;

/// Replaces the contents of the file at `path` by `text`.
///
/// A reader finds the old text or the new one, whole, even while several processes write. Only the owner can
/// read the file, whatever permissions the old one had.
///
/// # Errors
///
/// Names the file when it cannot be written; the old contents stay.
pub(crate) fn replace(path: &Path, text: &str) -> anyhow::Result<()> {
    // A random name: in containers, replicas often have the same process number.
    let mut temporary = path.as_os_str().to_owned();
    temporary.push(format!(".{:032x}", rand::random::<u128>()));
    let temporary = PathBuf::from(temporary);
    let written = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&temporary)
        .and_then(|mut file| file.write_all(text.as_bytes()))
        .and_then(|()| adopt_owner(&temporary))
        .and_then(|()| std::fs::rename(&temporary, path));
    if written.is_err() {
        drop(std::fs::remove_file(&temporary));
    }
    written.with_context(|| {
        format!("{} cannot be written; check path and permissions", path.display())
    })
}

/// Reads keys of 32 bytes from a file, one a line as 64 hexadecimal digits, the present one first.
///
/// # Errors
///
/// Names the setting when the file cannot be read or has anything else.
pub(crate) fn keys(setting: &str, path: &Path) -> anyhow::Result<Vec<Vec<u8>>> {
    let name = path.display();
    let text = std::fs::read_to_string(path)
        .with_context(|| format!("{setting}: {name} cannot be read; check path and permissions"))?;
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    let keys = lines.map(|line| HEXLOWER_PERMISSIVE.decode(line.as_bytes()).ok());
    let keys: Option<Vec<Vec<u8>>> = keys.collect();
    keys.filter(|keys| !keys.is_empty() && keys.iter().all(|key| key.len() == 32)).with_context(
        || format!("{setting}: {name} needs 64 hexadecimal digits a line; make one with `openssl rand -hex 32`"),
    )
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn directory() -> PathBuf {
        let path = std::env::temp_dir().join(format!("headcount-{:032x}", rand::random::<u128>()));
        std::fs::create_dir(&path).unwrap();
        path
    }

    #[test]
    fn a_reader_never_finds_half_a_file_while_others_write_it() {
        let directory = directory();
        let path = directory.join("link");
        let texts = ["a".repeat(2_000), "b".repeat(3_000)];
        replace(&path, &texts[0]).unwrap();
        std::thread::scope(|scope| {
            for text in &texts {
                let path = &path;
                scope.spawn(move || (0..500).for_each(|_| replace(path, text).unwrap()));
            }
            for _ in 0..2_000 {
                let read = std::fs::read_to_string(&path).unwrap();
                assert!(texts.contains(&read), "{} bytes", read.len());
            }
        });
        let left = std::fs::read_dir(&directory).unwrap().count();
        assert_eq!(left, 1, "nothing stays next to it");
        std::fs::remove_dir_all(directory).unwrap();
    }

    #[test]
    fn only_the_owner_reads_it_and_a_failure_is_reported() {
        let directory = directory();
        let path = directory.join("link");
        std::fs::write(&path, "old").unwrap();
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o644)).unwrap();
        replace(&path, "new").unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let missing = directory.join("no/link");
        let reported = replace(&missing, "new").unwrap_err().to_string();
        assert!(reported.contains("no/link cannot be written"), "{reported}");
        // A directory cannot be replaced by a file, and nothing is left next to it.
        std::fs::create_dir(directory.join("taken")).unwrap();
        assert!(replace(&directory.join("taken"), "new").is_err());
        assert_eq!(std::fs::read_dir(&directory).unwrap().count(), 2);
        std::fs::remove_dir_all(directory).unwrap();
    }

    #[test]
    fn keys_are_one_a_line_and_nothing_else() {
        let directory = directory();
        let path = directory.join("keys");
        let read = |text: &str| {
            std::fs::write(&path, text).unwrap();
            keys("accounts.key_file", &path)
        };
        let (one, two) = ("0a".repeat(32), "Ff".repeat(32));
        assert_eq!(read(&format!("{one}\n\n {two}\n")).unwrap(), [vec![10; 32], vec![255; 32]]);
        for wrong in [
            "",
            "\n",
            "0a",
            one.trim_start_matches('0'),
            &format!("{one}\n{two}00"),
            &"xy".repeat(32),
        ] {
            let error = read(wrong).unwrap_err().to_string();
            assert!(error.contains("accounts.key_file") && error.contains("openssl"), "{error}");
        }
        std::fs::remove_dir_all(directory).unwrap();
    }
}
