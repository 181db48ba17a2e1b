//! Puts the parts together: registry, store, tokens, service, HTTP.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use actix_web::web::Data;
use anyhow::Context;
use headcount_console::Console;
use headcount_core::clock::Clock as _;
use headcount_core::ids::{TenantId, TokenId};
use headcount_core::index;
use headcount_core::provider::{ProviderError, Source};
use headcount_core::quirks::Quirks;
use headcount_core::schema::{Registry, ResourceType};
use headcount_core::service::{Limits, Service};
use headcount_http_api::{Administration, Api, HttpSettings, LaneSizes, WriteConnections};
use headcount_records::mac::{MacKeys, Proof};
use headcount_records::verify::Protection;
use headcount_records::{Directory, Keep, RecordBuilder, Recorder, RequestLog as _};
use headcount_store_diesel::{DatabaseUrl, LogStore, OlderSchema, RebuildError, Settings, Store};
use headcount_token_admin::accounts::{AccountKeys, Accounts, Flashes, PasswordCost};
use headcount_token_admin::{
    Policy, StoreError, TenantContents, TenantStore as _, Tenants, Tokens, networks,
};

use crate::config::{Config, public_url};
use crate::cursor_cipher::SharedKeyCipher;
use crate::private_file;
use crate::schemas;
use crate::system::{SystemClock, UuidSource};

/// The parts of a process that works on the data.
#[derive(Clone)]
pub(crate) struct Parts {
    pub(crate) registry: Arc<Registry>,
    pub(crate) store: Arc<Store>,
    pub(crate) tokens: Arc<Tokens>,
    pub(crate) tenants: Arc<Tenants>,
    pub(crate) log: Arc<LogStore>,
    pub(crate) accounts: Arc<Accounts>,
}

/// Opens everything that a server needs.
pub(crate) fn serve(config: &Config) -> anyhow::Result<Parts> {
    let mut settings = Settings::serve(database(config)?);
    let reserved = match &settings.url {
        // One reader for each core, one for scans and one that only short reads take.
        DatabaseUrl::Sqlite(_) => 2,
        DatabaseUrl::Postgres(_) => 0,
    };
    settings.pool_size = config.database.pool_size.unwrap_or(settings.pool_size + reserved);
    settings.documents_visited = config.limits.documents_visited;
    let parts = open(config, settings, OlderSchema::Migrate)?;
    keep_derived(&parts)?;
    if let Err(error) = warn_of_unproven(&parts.store) {
        tracing::warn!(%error, "whether the next change has a MAC could not be read");
    }
    Ok(parts)
}

/// Opens everything that a command next to a running server needs.
pub(crate) fn command(config: &Config) -> anyhow::Result<Parts> {
    open(config, Settings::command(database(config)?), OlderSchema::Refuse)
}

/// Reads which database is meant.
pub(crate) fn database(config: &Config) -> anyhow::Result<DatabaseUrl> {
    Ok(DatabaseUrl::parse(&config.database.url)?)
}

fn open(config: &Config, mut settings: Settings, older: OlderSchema) -> anyhow::Result<Parts> {
    settings.prepared_statements = config.database.prepared_statements;
    let seconds = config.limits.read_seconds;
    anyhow::ensure!(seconds > 0, "limits.read_seconds: must be at least 1");
    settings.statement_limit = Duration::from_secs(seconds);
    anyhow::ensure!(config.tokens.default_days > 0, "tokens.default_days: must be at least 1");
    anyhow::ensure!(config.tokens.longest_days > 0, "tokens.longest_days: must be at least 1");
    settings.mac_keys = config.audit.mac_key_file.as_deref().map(mac_keys).transpose()?;
    let registry = Arc::new(schemas::registry(config)?);
    let store = Store::open(&settings, &schemas::plan(&registry), older)?;
    let tokens = Arc::new(Tokens::new(store.clone(), Arc::new(SystemClock), policy(config)));
    let log = Arc::new(LogStore::new(&settings));
    let accounts = match older {
        OlderSchema::Migrate => shared_accounts(config, &store)?,
        OlderSchema::Refuse => Accounts::new(store.clone(), Arc::new(SystemClock)),
    };
    let contents = Contents { registry: registry.clone(), store: store.clone(), log: log.clone() };
    let tenants = Tenants::new(store.clone(), Arc::new(contents), Arc::new(SystemClock));
    let (tenants, accounts) = (Arc::new(tenants), Arc::new(accounts));
    Ok(Parts { registry, store, tokens, tenants, log, accounts })
}

/// Opens the accounts with the keys that all replicas share, and seals the second factors of earlier releases.
fn shared_accounts(config: &Config, store: &Arc<Store>) -> anyhow::Result<Accounts> {
    let fresh: [u8; 32] = rand::random();
    let mut keys = match &config.accounts.key_file {
        Some(path) => private_file::keys("accounts.key_file", path)?,
        None => Vec::new(),
    };
    // The key in the database opens what it sealed before there was a file.
    keys.push(store.server_key("accounts", &fresh, SystemClock.now())?);
    let keys = AccountKeys::new(keys.iter().map(Vec::as_slice))
        .context("the key for accounts in the database is damaged")?;
    let (clock, cost) = (Arc::new(SystemClock), PasswordCost::SERVER);
    let accounts = Accounts::with_keys(store.clone(), clock, keys, cost);
    for name in accounts.seal_second_factors()? {
        tracing::error!(
            admin = %name,
            "no key opens the second factor of an account; check accounts.key_file, or run `headcount admin recover`"
        );
    }
    Ok(accounts)
}

/// Reads the keys that authenticate changes.
fn mac_keys(path: &Path) -> anyhow::Result<MacKeys> {
    let name = path.display();
    let text = std::fs::read_to_string(path).with_context(|| {
        format!("audit.mac_key_file: {name} cannot be read; check path and permissions")
    })?;
    MacKeys::parse(&text).map_err(|what| anyhow::anyhow!("audit.mac_key_file: {name}: {what}"))
}

/// Logs that there are changes that nothing proves genuine, as after the key was put into a file.
fn warn_of_unproven(store: &Store) -> anyhow::Result<()> {
    let Protection { keys, accepted } = store.protection()?;
    let next = store.audit(None, accepted, 1)?;
    if next.rows.iter().any(|next| keys.check_change(&next.row) != Proof::Authentic) {
        tracing::warn!(
            after = accepted.number(),
            "the next change has no MAC by a known key; `headcount audit verify` says which, and what to do"
        );
    }
    Ok(())
}

fn policy(config: &Config) -> Policy {
    const DAY: Duration = Duration::from_secs(24 * 60 * 60);
    Policy {
        // A longest life below the default one bounds the default one, too.
        default_life: DAY * config.tokens.default_days.min(config.tokens.longest_days),
        longest_life: DAY * config.tokens.longest_days,
        allow_never_expires: config.tokens.allow_never_expires,
    }
}

/// Derives everything from the documents of a kind again.
pub(crate) fn rebuild(parts: &Parts, kind: &ResourceType) -> anyhow::Result<u64> {
    Ok(parts.store.rebuild(&kind.kind, &index::fingerprint(kind), &|quirks, document| {
        index::derive(kind, quirks, document)
    })?)
}

/// The parts of a tenant outside of the store of tenants: rows derived from its documents, and its log.
struct Contents {
    registry: Arc<Registry>,
    store: Arc<Store>,
    log: Arc<LogStore>,
}

impl TenantContents for Contents {
    fn derive(&self, tenant: TenantId, quirks: Quirks) -> Result<(), StoreError> {
        for kind in self.registry.kinds() {
            self.store
                .rebuild_tenant(tenant, quirks, &kind.kind, &|quirks, document| {
                    index::derive(kind, quirks, document)
                })
                .map_err(|error| match error {
                    RebuildError::Store(error) => StoreError::Unavailable(error.into()),
                    misfit => StoreError::Refused(misfit.to_string()),
                })?;
        }
        Ok(())
    }

    fn forget(&self, tenant: TenantId) -> Result<(), StoreError> {
        self.log.forget(tenant).map_err(|error| StoreError::Unavailable(error.into()))
    }
}

/// Brings what is derived from documents up to date with the schemas of this deployment.
fn keep_derived(parts: &Parts) -> anyhow::Result<()> {
    for kind in parts.registry.kinds() {
        if parts.store.is_derived(&kind.kind, &index::fingerprint(kind))? {
            continue;
        }
        let count = rebuild(parts, kind)?;
        if count > 0 {
            tracing::info!(scim.kind = %kind.kind, count, "rebuilt derived data for the present schemas");
        }
    }
    warn_of_duplicates(parts)
}

/// Duplicates that are logged at each start; the command lists all.
const MAX_LOGGED: usize = 20;

/// Logs the resources whose unique name an older one has.
fn warn_of_duplicates(parts: &Parts) -> anyhow::Result<()> {
    for one in parts.store.duplicates(MAX_LOGGED)? {
        let older = one.older.as_ref().map(ToString::to_string);
        tracing::warn!(
            tenant = one.tenant, scim.kind = %one.kind, id = %one.id, older,
            "an older resource has an equal {}, and this one can only be renamed or deleted; \
             `headcount duplicates` lists all of them",
            one.path,
        );
    }
    Ok(())
}

/// Makes the HTTP side over the parts.
pub(crate) fn api(config: &Config, parts: &Parts) -> anyhow::Result<Api> {
    let limits = Limits {
        default_page: config.limits.page,
        max_page: config.limits.largest_page,
        group_reply_members: config.limits.group_reply_members,
        document_bytes: config.limits.body_bytes,
        cursor_seconds: config.limits.cursor_seconds,
        work: config.limits.work,
        ..Limits::default()
    };
    let (fresh, now): ([u8; 32], _) = (rand::random(), SystemClock.now());
    let service = Service {
        registry: Arc::clone(&parts.registry),
        provider: parts.store.clone(),
        clock: Arc::new(SystemClock),
        ids: Arc::new(UuidSource),
        cursor_cipher: Arc::new(SharedKeyCipher::new(
            &parts.store.server_key("cursor", &fresh, now)?,
        )?),
        limits,
    };
    let proxies = networks(config.http.trusted_proxies.iter().map(String::as_str));
    let settings = HttpSettings {
        public_url: config.http.public_url.as_deref().map(public_url).transpose()?,
        behind_proxy: config.http.behind_proxy,
        trusted_proxies: proxies.context("http.trusted_proxies")?,
        tls: config.http.tls_cert.is_some(),
        admin_apart: config.http.admin_listen.is_some(),
        body_bytes: config.limits.body_bytes,
        bulk_bytes: config.limits.bulk_bytes,
        bulk_operations: config.limits.bulk_operations,
        lanes: LaneSizes::of_pool(
            usize::try_from(parts.store.connections())?,
            match database(config)? {
                DatabaseUrl::Sqlite(_) => WriteConnections::Own,
                DatabaseUrl::Postgres(_) => WriteConnections::Pooled,
            },
        ),
        request_time: Duration::from_secs(config.limits.request_seconds),
        body_time: Duration::from_secs(config.limits.body_seconds),
        body_rate: config.limits.body_bytes_per_second,
        // One body of the largest size has to fit.
        buffered_bytes: config
            .limits
            .buffered_bytes
            .max(config.limits.body_bytes)
            .max(config.limits.bulk_bytes),
        event_readers: config.limits.event_readers,
        reader_time: Duration::from_secs(config.limits.reader_seconds),
        connections_per_address: config.limits.connections_per_address,
        requests_per_connection: config.limits.requests_per_connection,
        failures_per_second: config.limits.failures_per_second,
        failures_burst: config.limits.failures_burst,
    };
    let administration = Administration::new(
        parts.store.clone(),
        parts.store.clone(),
        parts.log.clone(),
        Arc::clone(&parts.tenants),
    );
    let tokens = Arc::clone(&parts.tokens);
    let mut api = Api::new(service, tokens, Arc::new(UuidSource), settings);
    api.administration = Some(administration);
    if config.provisioning_log.keep {
        api.recorder = Some(recorder(config, parts)?);
    }
    Ok(api)
}

/// Makes the console over the parts.
pub(crate) fn console(
    config: &Config,
    settings: Vec<(String, String)>,
    parts: &Parts,
    api: Data<Api>,
    program: String,
) -> Console {
    Console {
        api,
        accounts: Arc::clone(&parts.accounts),
        flashes: Arc::new(Flashes::new(parts.store.clone(), Arc::new(SystemClock))),
        tenants: Arc::clone(&parts.tenants),
        changes: parts.store.clone(),
        activity: parts.store.clone(),
        log: parts.log.clone(),
        refusals: parts.log.clone(),
        policy: policy(config),
        program,
        settings,
    }
}

/// Starts the thread that writes the provisioning log.
fn recorder(config: &Config, parts: &Parts) -> anyhow::Result<Recorder> {
    let keep =
        Keep { days: config.provisioning_log.keep_days, bytes: config.provisioning_log.keep_bytes };
    let builder = RecordBuilder::new(Arc::clone(&parts.registry));
    let (log, clock) = (Arc::clone(&parts.log), Arc::new(SystemClock));
    let directory = Arc::new(Known(parts.clone()));
    let recorder = Recorder::start(log, builder, directory, clock, keep);
    recorder.context("the thread that writes the provisioning log cannot start")
}

/// Tokens and tenants, for the provisioning log.
struct Known(Parts);

impl Directory for Known {
    fn token(&self, id: &TokenId) -> Option<(TenantId, String)> {
        let token = self.0.tokens.find(id).ok().flatten()?;
        Some((token.tenant, token.name))
    }

    fn tenants(&self) -> Result<Vec<TenantId>, ProviderError> {
        let tenants =
            self.0.store.tenants().map_err(|error| {
                ProviderError::Unavailable(Source::new("tenants are read", error))
            })?;
        Ok(tenants.into_iter().map(|tenant| tenant.id).collect())
    }
}
