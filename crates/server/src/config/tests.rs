use super::*;
use crate::cli::Format;

struct Dir(PathBuf);

impl Dir {
    fn new(name: &str) -> Self {
        let path =
            std::env::temp_dir().join(format!("headcount-config-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.0.join(name);
        std::fs::write(&path, text).unwrap();
        path
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        drop(std::fs::remove_dir_all(&self.0));
    }
}

fn common(config: PathBuf) -> Common {
    Common { config: Some(config), database: None, output: Format::Text }
}

#[test]
fn defaults_are_those_of_the_readme() {
    let dir = Dir::new("defaults");
    let loaded = load(&common(dir.file("c.toml", "")), None).unwrap();
    assert_eq!(loaded.config.http.listen, "127.0.0.1:8080");
    assert_eq!(loaded.config.database.url, "sqlite:headcount.db");
    assert_eq!(loaded.config.tokens.default_days, 180);
    assert!(loaded.config.http.trusted_proxies.is_empty());
    let documented = include_str!("../../../../docs/OPERATING.md");
    for (key, default) in keys() {
        let row = documented
            .lines()
            .find(|line| line.starts_with('|') && line.contains(&format!("`{key}`")));
        let row = row.unwrap_or_else(|| panic!("{key} is not in docs/OPERATING.md"));
        let plain =
            |default: &str| row.contains(default) || default.contains(',') || default.is_empty();
        assert!(default.is_none_or(plain), "{key}: {default:?} in {row}");
    }
}

#[test]
fn a_file_overrides_defaults_and_flags_override_the_file() {
    let dir = Dir::new("layers");
    let file = dir.file("c.toml", "[http]\nlisten = \"127.0.0.1:1\"\ntrusted_proxies = [\"10.0.0.0/8\", \"192.0.2.1/32\"]\n[limits]\npage = 50\n");
    let serve =
        Serve { listen: Some("127.0.0.1:2".to_owned()), behind_proxy: true, ..Serve::default() };
    let loaded = load(&common(file), Some(&serve)).unwrap();
    assert_eq!(loaded.config.http.listen, "127.0.0.1:2");
    assert_eq!(loaded.config.limits.page, 50);
    assert_eq!(loaded.config.http.trusted_proxies, ["10.0.0.0/8", "192.0.2.1/32"]);
    assert!(loaded.config.http.behind_proxy);
    let origin = |key: &str| {
        loaded
            .origins
            .iter()
            .find(|(known, _, _)| known == key)
            .map(|(_, _, origin)| origin.clone())
    };
    assert_eq!(origin("http.listen").as_deref(), Some("command line"));
    assert_eq!(origin("logging.format").as_deref(), Some("default"));
}

#[test]
fn cfg_02_an_unknown_key_is_an_error_with_a_suggestion() {
    let dir = Dir::new("unknown");
    for (text, expected) in [
        ("[http]\nlisten_on = \"x\"\n", "did you mean http.listen?"),
        ("[limit]\npage = 1\n", "did you mean limits.page?"),
        ("[zzzzzzzz]\nqqqqqq = 1\n", "check-config"),
    ] {
        let error = load(&common(dir.file("c.toml", text)), None).err().unwrap().to_string();
        assert!(error.contains(expected), "{error}");
        assert!(error.contains("c.toml"), "{error}");
    }
}

#[test]
fn a_renamed_section_is_refused_with_its_new_name() {
    let dir = Dir::new("renamed");
    for (text, expected) in [
        ("[requests]\nkeep_days = 7\n", "provisioning_log.keep_days"),
        ("[log]\nformat = \"json\"\n", "logging.format"),
    ] {
        let file = dir.file("c.toml", text);
        let error = load(&common(file), None).err().unwrap().to_string();
        assert!(error.contains("c.toml") && error.contains(expected), "{error}");
    }
    let old = [("HEADCOUNT__LOG__FORMAT".to_owned(), "json".to_owned())];
    let error = apply(&mut defaults(), environment_layer(old.into_iter())).unwrap_err();
    assert_eq!(
        error.to_string(),
        "HEADCOUNT__LOG__FORMAT: log.format is now logging.format \
         (in the environment: HEADCOUNT__LOGGING__FORMAT)"
    );
}

#[test]
fn wrong_types_name_the_key() {
    let dir = Dir::new("types");
    let error = load(&common(dir.file("c.toml", "[limits]\npage = \"many\"\n")), None)
        .err()
        .unwrap()
        .to_string();
    assert!(error.contains("limits.page"), "{error}");
    let error = load(&common(dir.file("c.toml", "[logging]\nformat = \"loud\"\n")), None)
        .err()
        .unwrap()
        .to_string();
    assert!(error.contains("format"), "{error}");
    assert!(load(&common(dir.file("c.toml", "[http\n")), None).is_err());
    assert!(load(&common(dir.0.join("missing.toml")), None).is_err());
}

#[test]
fn cfg_01_a_secret_can_come_from_a_file() {
    let dir = Dir::new("secret");
    let secret = dir.file("url", "postgres://u:secret@h/d\n");
    let file =
        dir.file("c.toml", &format!("[database]\nurl_file = {:?}\n", secret.display().to_string()));
    let loaded = load(&common(file), None).unwrap();
    assert_eq!(loaded.config.database.url, "postgres://u:secret@h/d");
    assert!(loaded.origins.iter().all(|(_, value, _)| !value.contains("secret@")));
    let both = dir.file(
        "c.toml",
        &format!("[database]\nurl = \"sqlite:x\"\nurl_file = {:?}\n", secret.display().to_string()),
    );
    assert!(load(&common(both), None).err().unwrap().to_string().contains("both set"));
}
