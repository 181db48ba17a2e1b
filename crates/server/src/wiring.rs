//! Puts the parts together: registry, store, tokens, service, HTTP.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use headcount_core::clock::Clock as _;
use headcount_core::schema::registry::{Document, IndexMarks};
use headcount_core::schema::{Registry, ResourceType};
use headcount_core::service::{Limits, Service};
use headcount_http_api::{Api, HttpSettings};
use headcount_store_diesel::{DatabaseUrl, KindPlan, Settings, Store};
use headcount_token_admin::{Policy, Tokens};

use crate::config::Config;
use crate::machine::{SystemClock, UuidSource};
use crate::seal::Sealer;

/// The parts of a process that works on the data.
pub(crate) struct Parts {
    pub(crate) registry: Arc<Registry>,
    pub(crate) store: Arc<Store>,
    pub(crate) tokens: Arc<Tokens>,
}

/// Opens everything that a server needs.
pub(crate) fn serve(config: &Config) -> anyhow::Result<Parts> {
    let mut settings = Settings::serve(database(config)?);
    settings.pool_size = config.database.pool_size.unwrap_or(settings.pool_size);
    settings.documents_visited = config.limits.documents_visited;
    open(config, settings, true)
}

/// Opens everything that a command beside a running server needs.
pub(crate) fn command(config: &Config) -> anyhow::Result<Parts> {
    open(config, Settings::command(database(config)?), false)
}

/// Reads which database is meant.
pub(crate) fn database(config: &Config) -> anyhow::Result<DatabaseUrl> {
    Ok(DatabaseUrl::parse(&config.database.url)?)
}

fn open(config: &Config, mut settings: Settings, migrate: bool) -> anyhow::Result<Parts> {
    settings.prepared_statements = config.database.prepared_statements;
    let registry = Arc::new(registry(config)?);
    let store = Store::open(&settings, &plan(&registry), migrate)?;
    let tokens = Arc::new(Tokens::new(store.clone(), Arc::new(SystemClock), policy(config)));
    Ok(Parts { registry, store, tokens })
}

fn policy(config: &Config) -> Policy {
    const DAY: i64 = 24 * 60 * 60;
    Policy {
        default_life: config.tokens.default_days * DAY,
        longest_life: config.tokens.longest_days * DAY,
        allow_never_expires: config.tokens.allow_never_expires,
    }
}

/// Reads the deployment's own schemas beside the built-in ones.
fn registry(config: &Config) -> anyhow::Result<Registry> {
    let Some(directory) = &config.schemas.directory else {
        return Ok(Registry::builtin()?);
    };
    let mut names: Vec<_> = std::fs::read_dir(directory)
        .with_context(|| format!("schemas.directory {} cannot be read", directory.display()))?
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<Result<_, _>>()?;
    names.sort();
    let read = |path: &Path| {
        std::fs::read_to_string(path).with_context(|| format!("{} cannot be read", path.display()))
    };
    let mut documents = Vec::new();
    for path in
        names.iter().filter(|path| path.extension().is_some_and(|extension| extension == "json"))
    {
        let file = path.display().to_string();
        let content =
            headcount_core::json::parse(read(path)?.as_bytes()).with_context(|| file.clone())?;
        documents.push(Document { file, content });
    }
    Ok(Registry::from_documents(&documents, &marks(directory)?)?)
}

/// Reads `indexes.toml`: under each kind, `indexed = ["path", …]`.
fn marks(directory: &Path) -> anyhow::Result<IndexMarks> {
    let path = directory.join("indexes.toml");
    if !path.exists() {
        return Ok(IndexMarks::new());
    }
    let file = config::File::from(path.as_path()).format(config::FileFormat::Toml);
    let layers = config::Config::builder()
        .add_source(file)
        .build()
        .with_context(|| path.display().to_string())?;
    let table: std::collections::BTreeMap<String, std::collections::BTreeMap<String, Vec<String>>> =
        layers.try_deserialize().with_context(|| {
            format!("{}: under each [Kind], indexed = [\"path\"]", path.display())
        })?;
    table
        .into_iter()
        .map(|(kind, mut keys)| match keys.remove("indexed") {
            Some(paths) if keys.is_empty() => Ok((kind, paths)),
            _ => anyhow::bail!("{}: [{kind}] has one key, indexed", path.display()),
        })
        .collect()
}

fn plan(registry: &Registry) -> Vec<KindPlan> {
    let paths = |kind: &ResourceType| {
        let indexed = kind.indexed.iter().map(|indexed| indexed.path.to_string());
        let keys = kind.unique.iter().chain(&kind.name).map(ToString::to_string);
        indexed.chain(keys).collect()
    };
    registry
        .kinds()
        .iter()
        .map(|kind| KindPlan { kind: kind.kind.clone(), paths: paths(kind) })
        .collect()
}

/// Makes the HTTP side over the parts.
pub(crate) fn api(config: &Config, parts: &Parts) -> anyhow::Result<Api> {
    let limits = Limits {
        default_page: config.limits.page,
        max_page: config.limits.largest_page,
        group_reply_members: config.limits.group_reply_members,
        document_bytes: config.limits.body_bytes,
        cursor_seconds: config.limits.cursor_seconds,
        ..Limits::default()
    };
    let (fresh, now): ([u8; 32], _) = (rand::random(), SystemClock.now());
    let service = Service {
        registry: Arc::clone(&parts.registry),
        provider: parts.store.clone(),
        clock: Arc::new(SystemClock),
        ids: Arc::new(UuidSource),
        seal: Arc::new(Sealer::new(&parts.store.server_key("cursor", &fresh, now)?)?),
        limits,
    };
    let proxies = config.http.trusted_proxies.iter().map(|net| {
        net.parse().with_context(|| {
            format!("http.trusted_proxies: \"{net}\" is no network such as 10.0.0.0/8")
        })
    });
    let settings = HttpSettings {
        public_url: config.http.public_url.as_deref().map(public_url).transpose()?,
        behind_proxy: config.http.behind_proxy,
        trusted_proxies: proxies.collect::<anyhow::Result<_>>()?,
        tls: config.http.tls_cert.is_some(),
        body_bytes: config.limits.body_bytes,
        body_time: Duration::from_secs(config.limits.body_seconds),
        failures_per_second: config.limits.failures_per_second,
        failures_burst: config.limits.failures_burst,
        ..HttpSettings::default()
    };
    Ok(Api::new(service, Arc::clone(&parts.tokens), Arc::new(UuidSource), settings))
}

fn public_url(text: &str) -> anyhow::Result<String> {
    let url = text.trim_end_matches('/');
    let rest = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://"));
    let plain = |c: char| {
        c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | ':' | '/' | '[' | ']' | '~')
    };
    match rest {
        Some(rest) if !rest.is_empty() && rest.chars().all(plain) => Ok(url.to_owned()),
        _ => anyhow::bail!(
            "http.public_url \"{text}\" must be an address such as https://scim.example.com"
        ),
    }
}
