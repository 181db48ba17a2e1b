//! Who can read the files that contain secrets.

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use headcount_store_diesel::DatabaseUrl;

use crate::config::Loaded;

/// What users without any right to a file may do, by its mode.
const OTHERS: u32 = 0o007;
const ROOT: u32 = 0;

/// Returns a sentence for each file with secrets that users beside the server's own can read or change.
pub(crate) fn findings(loaded: &Loaded) -> Vec<String> {
    let found = files(loaded).into_iter().filter_map(|(key, path)| finding(&key, &path));
    found.collect()
}

/// Returns the files with secrets, by the setting that leads to each.
fn files(loaded: &Loaded) -> Vec<(String, PathBuf)> {
    let config = &loaded.config;
    let mut files = loaded.secret_files.clone();
    let named =
        [("http.tls_key", &config.http.tls_key), ("audit.key_file", &config.audit.key_file)];
    for (key, path) in named {
        files.extend(path.clone().map(|path| (key.to_owned(), path)));
    }
    if let Ok(DatabaseUrl::Sqlite(path)) = DatabaseUrl::parse(&config.database.url) {
        let log = headcount_store_diesel::log_file(&path);
        for file in [&path, &log] {
            for suffix in ["", "-wal"] {
                let mut name = file.clone().into_os_string();
                name.push(suffix);
                files.push(("database.url".to_owned(), PathBuf::from(name)));
            }
        }
    }
    files
}

/// Returns what is wrong about a file, if it exists.
fn finding(key: &str, path: &Path) -> Option<String> {
    let file = std::fs::metadata(path).ok()?;
    let shown = path.display();
    if file.mode() & OTHERS != 0 {
        return Some(format!(
            "{shown} ({key}) contains secrets and is open to every user of this machine; run chmod 600 {shown}"
        ));
    }
    let own = rustix::process::geteuid().as_raw();
    (file.uid() != own && file.uid() != ROOT && own != ROOT).then(|| {
        format!(
            "{shown} ({key}) contains secrets and belongs to another user, who can read and replace it; run chown {own} {shown}"
        )
    })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::cli::{Common, Format};
    use crate::config;

    #[test]
    fn cfg_01_s_l_a_file_with_secrets_that_anyone_can_read_is_named() {
        let directory =
            std::env::temp_dir().join(format!("headcount-{:032x}", rand::random::<u128>()));
        std::fs::create_dir(&directory).unwrap();
        let path = |name: &str| directory.join(name);
        let settings = format!(
            "[database]\nurl = \"sqlite:{}\"\n[audit]\nkey_file = \"{}\"\n[telemetry]\notlp_url = \"http://u:p@h/\"\n",
            path("x.db").display(),
            path("key.pem").display()
        );
        std::fs::write(path("config.toml"), settings).unwrap();
        let names = ["x.db", "x-log.db", "key.pem", "config.toml"];
        for name in &names[..3] {
            std::fs::write(path(name), "").unwrap();
        }
        let common =
            Common { config: Some(path("config.toml")), database: None, output: Format::Text };
        let loaded = config::load(&common, None).unwrap();
        for name in names {
            for (mode, expected) in [(0o644, true), (0o602, true), (0o640, false), (0o600, false)] {
                for other in names {
                    let mode = if name == other { mode } else { 0o600 };
                    std::fs::set_permissions(path(other), PermissionsExt::from_mode(mode)).unwrap();
                }
                let found = findings(&loaded);
                assert_eq!(!found.is_empty(), expected, "{name} {mode:o}: {found:?}");
                let advice = format!("run chmod 600 {}", path(name).display());
                assert!(found.iter().all(|text| text.ends_with(&advice)), "{found:?}");
            }
        }
        std::fs::remove_dir_all(directory).unwrap();
    }
}
