//! The configuration: defaults, then a file, then the environment, then flags.
//!
//! Unknown keys are errors, with a suggestion: a misspelled limit must not be silently none. Each
//! secret can come from a file named by the same key with `_file` behind it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use config::{Config as Layers, File, FileFormat, Source, Value};
use headcount_records::MaskedUrl;
use headcount_store_diesel::DatabaseUrl;
use serde::Deserialize;

use crate::cli::{Common, Serve};

/// The prefix of environment variables: `HEADCOUNT__HTTP__LISTEN` is `http.listen`.
const PREFIX: &str = "HEADCOUNT__";

/// Everything that can be set.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Config {
    pub(crate) database: Database,
    pub(crate) http: Http,
    pub(crate) tokens: Tokens,
    #[serde(default)]
    pub(crate) accounts: Accounts,
    pub(crate) limits: Limits,
    #[serde(default)]
    pub(crate) schemas: Schemas,
    pub(crate) provisioning_log: ProvisioningLog,
    pub(crate) audit: Audit,
    pub(crate) logging: Logging,
    pub(crate) telemetry: Telemetry,
}

/// Where the data is.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Database {
    pub(crate) url: String,
    pub(crate) pool_size: Option<u32>,
    pub(crate) prepared_statements: bool,
}

/// How the server listens.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Http {
    pub(crate) listen: String,
    pub(crate) admin_listen: Option<String>,
    pub(crate) metrics_listen: Option<String>,
    pub(crate) metrics_public: bool,
    pub(crate) public_url: Option<String>,
    pub(crate) behind_proxy: bool,
    pub(crate) trusted_proxies: Vec<String>,
    pub(crate) tls_cert: Option<PathBuf>,
    pub(crate) tls_key: Option<PathBuf>,
    pub(crate) workers: Option<usize>,
    pub(crate) shutdown_seconds: u64,
}

/// What tokens may be.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Tokens {
    pub(crate) default_days: u32,
    pub(crate) longest_days: u32,
    pub(crate) allow_never_expires: bool,
}

/// Sizes and rates.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Limits {
    pub(crate) body_bytes: usize,
    pub(crate) request_seconds: u64,
    pub(crate) read_seconds: u64,
    pub(crate) body_seconds: u64,
    pub(crate) body_bytes_per_second: u32,
    pub(crate) buffered_bytes: usize,
    pub(crate) reader_seconds: u64,
    pub(crate) connections_per_address: usize,
    pub(crate) requests_per_connection: usize,
    pub(crate) event_readers: usize,
    pub(crate) bulk_bytes: usize,
    pub(crate) bulk_operations: usize,
    pub(crate) page: usize,
    pub(crate) largest_page: usize,
    pub(crate) group_reply_members: usize,
    pub(crate) documents_visited: u64,
    pub(crate) work: u64,
    pub(crate) cursor_seconds: i64,
    pub(crate) failures_per_second: u32,
    pub(crate) failures_burst: u32,
}

/// How what is stored of accounts is protected.
#[derive(Debug, Clone, Default, Deserialize)]
pub(crate) struct Accounts {
    pub(crate) key_file: Option<PathBuf>,
}

/// Schemas of the deployment's own.
#[derive(Debug, Clone, Default, Deserialize)]
pub(crate) struct Schemas {
    pub(crate) directory: Option<PathBuf>,
}

/// How much of the provisioning log is kept.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct ProvisioningLog {
    pub(crate) keep: bool,
    pub(crate) keep_days: u32,
    pub(crate) keep_bytes: u64,
}

/// How the record of changes is proven.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Audit {
    pub(crate) key_file: Option<PathBuf>,
    pub(crate) mac_key_file: Option<PathBuf>,
    pub(crate) checkpoint_file: Option<PathBuf>,
    pub(crate) names_days: u32,
}

/// What is written to standard error.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Logging {
    pub(crate) format: LogFormat,
    pub(crate) filter: String,
}

/// Where traces go, and what metrics have.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Telemetry {
    pub(crate) otlp_url: Option<String>,
    pub(crate) tenant_label: bool,
}

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum LogFormat {
    /// For people.
    Pretty,
    /// One JSON object per line.
    Json,
}

/// Every key with its default, `None` where there is none.
const KEYS: &[(&str, Option<&str>)] = &[
    ("database.url", Some("sqlite:headcount.db")),
    ("database.pool_size", None),
    ("database.prepared_statements", Some("true")),
    ("http.listen", Some("127.0.0.1:8080")),
    ("http.admin_listen", None),
    ("http.metrics_listen", None),
    ("http.metrics_public", Some("false")),
    ("http.public_url", None),
    ("http.behind_proxy", Some("false")),
    ("http.trusted_proxies", Some("")),
    ("http.tls_cert", None),
    ("http.tls_key", None),
    ("http.workers", None),
    ("http.shutdown_seconds", Some("25")),
    ("tokens.default_days", Some("180")),
    ("tokens.longest_days", Some("730")),
    ("tokens.allow_never_expires", Some("false")),
    ("accounts.key_file", None),
    ("limits.body_bytes", Some("1048576")),
    ("limits.request_seconds", Some("10")),
    ("limits.read_seconds", Some("5")),
    ("limits.body_seconds", Some("30")),
    ("limits.body_bytes_per_second", Some("1024")),
    ("limits.buffered_bytes", Some("67108864")),
    ("limits.reader_seconds", Some("60")),
    ("limits.connections_per_address", Some("200")),
    ("limits.requests_per_connection", Some("100")),
    ("limits.event_readers", Some("512")),
    ("limits.bulk_bytes", Some("4194304")),
    ("limits.bulk_operations", Some("1000")),
    ("limits.page", Some("100")),
    ("limits.largest_page", Some("1000")),
    ("limits.group_reply_members", Some("200")),
    ("limits.documents_visited", Some("200000")),
    ("limits.work", Some("1250000000")),
    ("limits.cursor_seconds", Some("86400")),
    ("limits.failures_per_second", Some("10")),
    ("limits.failures_burst", Some("100")),
    ("schemas.directory", None),
    ("provisioning_log.keep", Some("true")),
    ("provisioning_log.keep_days", Some("30")),
    ("provisioning_log.keep_bytes", Some("1073741824")),
    ("audit.key_file", None),
    ("audit.mac_key_file", None),
    ("audit.checkpoint_file", None),
    ("audit.names_days", Some("90")),
    ("logging.format", Some("pretty")),
    ("logging.filter", Some("info,actix_server=warn")),
    ("telemetry.otlp_url", None),
    ("telemetry.tenant_label", Some("false")),
];

/// Sections that were renamed, by their old names.
const RENAMED_SECTIONS: &[(&str, &str)] = &[("requests", "provisioning_log"), ("log", "logging")];

/// Keys whose value is a secret or can hold one.
const SECRETS: &[&str] = &["database.url", "telemetry.otlp_url"];
/// Keys whose value is a list, written with commas in the environment.
const LISTS: &[&str] = &["http.trusted_proxies"];

/// The configuration, and where each value comes from.
pub(crate) struct Loaded {
    pub(crate) config: Config,
    /// Key, value with secrets masked, origin.
    pub(crate) origins: Vec<(String, String, String)>,
    /// Files with secrets that were read, by the key that names each or that each sets.
    pub(crate) secret_files: Vec<(String, PathBuf)>,
}

/// Each value that is set, with its origin, by key.
type Values = BTreeMap<String, (String, String)>;

/// Reads all layers.
pub(crate) fn load(common: &Common, serve: Option<&Serve>) -> anyhow::Result<Loaded> {
    let (mut values, mut secret_files) = (defaults(), Vec::new());
    let layers = [
        file_layer(common.config.as_deref())?,
        environment_layer(std::env::vars()),
        flag_layer(common, serve),
    ];
    for layer in layers {
        secret_files.extend(secrets_of(&layer));
        apply(&mut values, layer)?;
    }
    let origins = values
        .iter()
        .map(|(key, (value, origin))| (key.clone(), mask(key, value), origin.clone()))
        .collect();
    Ok(Loaded { config: read(&values)?, origins, secret_files })
}

fn defaults() -> Values {
    KEYS.iter()
        .filter_map(|(key, default)| {
            Some(((*key).to_owned(), ((*default)?.to_owned(), "default".to_owned())))
        })
        .collect()
}

/// Gives each value its type.
fn read(values: &Values) -> anyhow::Result<Config> {
    let mut layers = Layers::builder();
    for (key, (value, origin)) in values {
        layers = if LISTS.contains(&key.as_str()) {
            let items: Vec<String> = value
                .split(',')
                .map(str::trim)
                .filter(|item| !item.is_empty())
                .map(str::to_owned)
                .collect();
            layers.set_override(key, items)
        } else {
            layers.set_override(key, value.as_str())
        }
        .with_context(|| format!("{key} (from {origin})"))?;
    }
    layers.build()?.try_deserialize().map_err(|error| {
        let text = error.to_string();
        let origin = values
            .iter()
            .find(|(key, _)| text.contains(key.as_str()))
            .map(|(key, (_, origin))| format!("{key} from {origin}"));
        anyhow::anyhow!(
            "the configuration is not valid: {text}{}",
            origin.map_or_else(String::new, |o| format!(" ({o})"))
        )
    })
}

/// One value of one layer.
struct Setting {
    key: String,
    value: String,
    origin: String,
    /// Whether the origin is a file.
    in_file: bool,
}

/// Returns the files of a layer with secrets: those that are named, and the file of the layer itself where it
/// contains one.
fn secrets_of(layer: &[Setting]) -> Vec<(String, PathBuf)> {
    let files = layer.iter().filter_map(|Setting { key, value, origin, in_file }| {
        if key.strip_suffix("_file").is_some_and(|plain| SECRETS.contains(&plain)) {
            return Some((key.clone(), PathBuf::from(value)));
        }
        let is_secret = *in_file && SECRETS.contains(&key.as_str()) && has_secret(value);
        is_secret.then(|| (key.clone(), PathBuf::from(origin)))
    });
    files.collect()
}

/// Returns whether a URL may contain a secret.
fn has_secret(url: &str) -> bool {
    match MaskedUrl::parse(url) {
        Some(url) => url.has_secret(),
        None => !url.starts_with("sqlite:"),
    }
}

/// Puts a layer over those before it. A secret may be in a file that its key with `_file` names.
fn apply(values: &mut Values, layer: Vec<Setting>) -> anyhow::Result<()> {
    let named: Vec<String> = layer.iter().map(|setting| setting.key.clone()).collect();
    for Setting { key, value, origin, .. } in layer {
        if let Some(plain) = key.strip_suffix("_file").filter(|plain| SECRETS.contains(plain)) {
            if named.iter().any(|named| named == plain) {
                bail!("{plain} and {key} are both set (by {origin}); set one of them");
            }
            let text = std::fs::read_to_string(&value).with_context(|| {
                format!("{key} (from {origin}): {value} cannot be read; check path and permissions")
            })?;
            let text = text.trim_end_matches(['\r', '\n']).to_owned();
            values.insert(plain.to_owned(), (text, format!("{origin} ({value})")));
            continue;
        }
        if !KEYS.iter().any(|(known, _)| *known == key) {
            bail!("{origin}: {}", unknown(&key));
        }
        values.insert(key, (value, origin));
    }
    Ok(())
}

/// Says that there is no such setting, and names the one that was probably meant.
fn unknown(key: &str) -> String {
    if let Some((section, name)) = key.split_once('.')
        && let Some((_, renamed)) = RENAMED_SECTIONS.iter().find(|(old, _)| *old == section)
    {
        let renamed = format!("{renamed}.{name}");
        if KEYS.iter().any(|(known, _)| *known == renamed) {
            let variable = format!("{PREFIX}{}", renamed.replace('.', "__")).to_ascii_uppercase();
            return format!("{key} is now {renamed} (in the environment: {variable})");
        }
    }
    let nearest = KEYS.iter().map(|(known, _)| (strsim::levenshtein(key, known), *known)).min();
    match nearest {
        Some((distance, known)) if distance <= known.len() / 2 => {
            format!("there is no setting {key}; did you mean {known}?")
        }
        _ => format!("there is no setting {key}; `headcount check-config` lists all settings"),
    }
}

/// Reads the file and flattens it into keys.
fn file_layer(named: Option<&Path>) -> anyhow::Result<Vec<Setting>> {
    let path = match named {
        Some(path) => path.to_owned(),
        None if Path::new("config.toml").exists() => PathBuf::from("config.toml"),
        None => return Ok(Vec::new()),
    };
    let text = std::fs::read_to_string(&path).with_context(|| {
        format!(
            "{}: the configuration file cannot be read; check path and permissions",
            path.display()
        )
    })?;
    let source = File::from_str(&text, FileFormat::Toml);
    let table = source.collect().map_err(|error| {
        anyhow::anyhow!("{}: {}", path.display(), without_lines(&error.to_string()))
    })?;
    let mut flat = Vec::new();
    for (key, value) in table {
        flatten(&key, value, &path.display().to_string(), &mut flat)?;
    }
    Ok(flat)
}

/// Returns an error of the parser without the lines of the file that it quotes: a line may contain a password.
fn without_lines(error: &str) -> String {
    let is_quote = |line: &&str| {
        line.split_once('|')
            .is_none_or(|(number, _)| !number.trim().bytes().all(|b| b.is_ascii_digit()))
    };
    error.lines().filter(is_quote).map(str::trim).collect::<Vec<_>>().join(": ")
}

fn flatten(key: &str, value: Value, origin: &str, flat: &mut Vec<Setting>) -> anyhow::Result<()> {
    if let Ok(table) = value.clone().into_table() {
        for (name, value) in table {
            flatten(&format!("{key}.{name}"), value, origin, flat)?;
        }
        return Ok(());
    }
    let text = match value.clone().into_array() {
        Ok(items) => items
            .into_iter()
            .map(Value::into_string)
            .collect::<Result<Vec<_>, _>>()
            .map(|items| items.join(",")),
        Err(_) => value.into_string(),
    };
    let text = text.with_context(|| {
        format!("{origin}: {key} must be a text, a number, true, false or a list of texts")
    })?;
    let (key, origin) = (key.to_owned(), origin.to_owned());
    flat.push(Setting { key, value: text, origin, in_file: true });
    Ok(())
}

fn environment_layer(variables: impl Iterator<Item = (String, String)>) -> Vec<Setting> {
    let mut settings: Vec<Setting> = variables
        .filter_map(|(name, value)| {
            let key = name.strip_prefix(PREFIX)?.to_ascii_lowercase().replace("__", ".");
            Some(Setting { key, value, origin: name, in_file: false })
        })
        .collect();
    settings.sort_by(|a, b| a.key.cmp(&b.key));
    settings
}

fn flag_layer(common: &Common, serve: Option<&Serve>) -> Vec<Setting> {
    let mut flags = vec![("database.url", common.database.clone())];
    if let Some(serve) = serve {
        flags.extend([
            ("http.listen", serve.listen.clone()),
            ("http.public_url", serve.public_url.clone()),
            ("http.behind_proxy", serve.behind_proxy.then(|| "true".to_owned())),
            ("http.tls_cert", serve.tls_cert.as_ref().map(|path| path.display().to_string())),
            ("http.tls_key", serve.tls_key.as_ref().map(|path| path.display().to_string())),
        ]);
    }
    flags
        .into_iter()
        .filter_map(|(key, value)| {
            let origin = "command line".to_owned();
            Some(Setting { key: key.to_owned(), value: value?, origin, in_file: false })
        })
        .collect()
}

/// Returns a value without the secrets in it. Of what is no plain URL, where one belongs, nothing is shown.
fn mask(key: &str, value: &str) -> String {
    let shown = match key {
        "database.url" => DatabaseUrl::parse(value).map(|url| url.to_string()).ok(),
        "http.public_url" => public_url(value).ok(),
        "telemetry.otlp_url" => MaskedUrl::parse(value).map(|url| url.to_string()),
        // A URL where none belongs.
        _ if value.contains("://") => MaskedUrl::parse(value).map(|url| url.to_string()),
        _ => Some(value.to_owned()),
    };
    shown.unwrap_or_else(|| "(not shown: not a plain URL)".to_owned())
}

/// Reads the URL by which clients reach the server; it has no slash at its end.
pub(crate) fn public_url(text: &str) -> anyhow::Result<String> {
    let url = text.trim_end_matches('/');
    let rest = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://"));
    let is_plain = rest.is_some_and(|rest| {
        !rest.is_empty()
            && rest.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-_:/[]~".contains(&byte))
    });
    // What was set is not repeated: it may contain a password.
    anyhow::ensure!(
        is_plain,
        "http.public_url: must be an address without user and query, such as https://scim.example.com"
    );
    Ok(url.to_owned())
}

/// Every key, for documentation and tests.
#[cfg(test)]
pub(crate) fn keys() -> impl Iterator<Item = (&'static str, Option<&'static str>)> {
    KEYS.iter().copied()
}

#[cfg(test)]
mod tests;
