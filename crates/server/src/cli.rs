//! The command line: every command with its flags.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use headcount_store_diesel::UNRECORDED;
use headcount_token_admin::accounts::Role;

/// What `--version` prints: a binary that records no changes is recognized by it.
const VERSION: &str = if UNRECORDED {
    concat!(env!("CARGO_PKG_VERSION"), " (unrecorded: for benchmarks only)")
} else {
    env!("CARGO_PKG_VERSION")
};

/// A self-hosted SCIM 2.0 service provider: identity providers push users and groups to it.
#[derive(Debug, Parser)]
#[command(name = "headcount", version = VERSION, about, disable_help_subcommand = true)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) common: Common,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What every command takes.
#[derive(Debug, Clone, Args)]
pub(crate) struct Common {
    /// The configuration file. Without it, ./config.toml is read if it exists.
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// The database: `sqlite:FILE` or `postgres://USER@HOST/NAME`.
    #[arg(long, global = true, value_name = "URL")]
    pub(crate) database: Option<String>,
    /// How results are printed.
    #[arg(long, global = true, value_enum, default_value_t = Format::Text)]
    pub(crate) output: Format,
}

/// How results are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// For people.
    Text,
    /// For programs.
    Json,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Serve SCIM until a signal stops it.
    Serve(Serve),
    /// Make, list, revoke and rotate tokens.
    #[command(subcommand)]
    Token(Token),
    /// Make, list, change and delete tenants.
    #[command(subcommand)]
    Tenant(Tenant),
    /// Follow what happens to users and groups.
    Events {
        /// Where they are read.
        #[command(flatten)]
        origin: Origin,
        /// What to do.
        #[command(subcommand)]
        command: Events,
    },
    /// Read the provisioning log: requests, their responses, and why a user is or is not here.
    Log {
        /// Where it is read.
        #[command(flatten)]
        origin: Origin,
        /// What to do.
        #[command(subcommand)]
        command: Log,
    },
    /// Manage the accounts of the console.
    #[command(subcommand)]
    Admin(Admin),
    /// Verify, export and keep checkpoints of the record of changes, and erase names from it.
    #[command(subcommand)]
    Audit(Audit),
    /// Explain and check schema files of your own.
    #[command(subcommand)]
    Schema(Schema),
    /// Rebuild the data that searches use; `serve` does so by itself when schemas change.
    Reindex,
    /// List resources whose unique name an older one has, as an upgrade that compares names more strictly
    /// finds them. They can only be renamed or deleted.
    Duplicates,
    /// Bring the database schema up to date.
    Migrate,
    /// Check the configuration and print it, with where each value comes from.
    CheckConfig,
}

/// Flags of `serve`.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct Serve {
    /// The address to listen on. Port 0 takes any free one.
    #[arg(long, value_name = "ADDR")]
    pub(crate) listen: Option<String>,
    /// The address under which identity providers reach the server, such as `https://scim.example.com`.
    #[arg(long, value_name = "URL")]
    pub(crate) public_url: Option<String>,
    /// A proxy in front of the server speaks TLS and sends the client's address.
    #[arg(long)]
    pub(crate) behind_proxy: bool,
    /// The certificate chain in PEM.
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    pub(crate) tls_cert: Option<PathBuf>,
    /// The private key in PEM.
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    pub(crate) tls_key: Option<PathBuf>,
}

/// Commands about tokens.
#[derive(Debug, Subcommand)]
pub(crate) enum Token {
    /// Make a token and print its secret, once.
    Create(TokenCreate),
    /// List tokens; secrets are never shown again.
    List {
        /// Only those of this tenant.
        #[arg(long)]
        tenant: Option<String>,
    },
    /// Revoke a token, from the next request on.
    Revoke {
        /// The id, as `token list` shows it.
        id: String,
    },
    /// Make a token that takes over from another.
    Rotate {
        /// The id, as `token list` shows it.
        id: String,
        /// How long the old token keeps working.
        #[arg(long, default_value = "24h", value_name = "TIME")]
        overlap: String,
    },
}

/// Flags of `token create`.
#[derive(Debug, Args)]
pub(crate) struct TokenCreate {
    /// A name for it, such as entra.
    #[arg(long)]
    pub(crate) name: String,
    /// The tenant that it opens.
    #[arg(long, default_value = "default")]
    pub(crate) tenant: String,
    /// What it allows: provisioning, administration, or some of `scim:read` `users:write`
    /// `groups:write` `events:read` `admin:read` `admin:write` `tenants:all`.
    #[arg(long, default_value = "provisioning")]
    pub(crate) scope: Vec<String>,
    /// When it stops working: 180d, 12h, or never.
    #[arg(long, value_name = "TIME")]
    pub(crate) expires: Option<String>,
    /// The user that /Me is for this token, by userName or id.
    #[arg(long, value_name = "USER")]
    pub(crate) user: Option<String>,
    /// A network from which it may be used, such as 203.0.113.0/24. May be repeated.
    #[arg(long, value_name = "NET")]
    pub(crate) cidr: Vec<String>,
}

/// Where the log and the events are read: the database, unless a server is named.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct Origin {
    /// Ask the running server at this address, such as `https://scim.example.com`, instead of the
    /// database. The variable `HEADCOUNT_TOKEN` holds its token, one of the admin API.
    #[arg(long, global = true, value_name = "URL")]
    pub(crate) server: Option<String>,
    /// A file with the token for --server.
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) token_file: Option<PathBuf>,
    /// Certificates, in PEM, of the only authorities to trust for --server, instead of those of the system.
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) ca_file: Option<PathBuf>,
}

/// Commands about events.
#[derive(Debug, Subcommand)]
pub(crate) enum Events {
    /// Print the newest events, oldest first; fails when there are none.
    Tail(EventsTail),
}

/// Flags of `events tail`.
#[derive(Debug, Args)]
pub(crate) struct EventsTail {
    /// The tenant; without it `default`, or that of the token for --server.
    #[arg(long)]
    pub(crate) tenant: Option<String>,
    /// Print the events after this one, by its id; 0 begins with the first.
    #[arg(long, value_name = "CURSOR")]
    pub(crate) after: Option<String>,
    /// Only these types, separated by commas, such as `user.*,group.member_added`.
    #[arg(long, value_name = "LIST")]
    pub(crate) types: Option<String>,
    /// Keep printing new events, until interrupted.
    #[arg(long)]
    pub(crate) follow: bool,
    /// How many events to print at first.
    #[arg(long, default_value_t = 20, value_name = "N")]
    pub(crate) limit: usize,
}

/// Commands about the provisioning log.
#[derive(Debug, Subcommand)]
pub(crate) enum Log {
    /// Show the latest requests, oldest first.
    Tail {
        /// Only those of this tenant; without it those of all that the token for --server may see.
        #[arg(long)]
        tenant: Option<String>,
        /// Only those that failed.
        #[arg(long)]
        failed: bool,
        /// How many requests to print at first.
        #[arg(long, short = 'n', default_value_t = 20, value_name = "N")]
        limit: usize,
        /// Keep printing new requests, until interrupted.
        #[arg(long, short = 'f')]
        follow: bool,
    },
    /// Show one request whole, with its redacted bodies.
    Show {
        /// Its number, as `log tail` shows it, or its request id.
        id: String,
    },
    /// Explain a user or group: everything that is known about it, and why it is or is not here.
    Explain {
        /// A userName, displayName, externalId, e-mail address or id, in any case.
        name: String,
        /// The tenant; without it `default`, or that of the token for --server.
        #[arg(long)]
        tenant: Option<String>,
    },
}

/// Commands about the accounts of the console.
#[derive(Debug, Subcommand)]
pub(crate) enum Admin {
    /// Print a link with which the first account is made; it works once, for an hour.
    SetupLink,
    /// Print a link with which an account gets a new password; it works once, for an hour.
    Recover {
        /// The account, as `admin list` shows it.
        name: String,
    },
    /// List the accounts.
    List,
    /// Print a link with which a new administrator makes an account; it works once, for an hour.
    Invite {
        /// The name of the account.
        name: String,
        /// What the account may do: `owner`, `admin` or `auditor`.
        #[arg(long, value_parser = role)]
        role: Role,
    },
    /// Give an account another role; its sessions end.
    Role {
        /// The account, as `admin list` shows it.
        name: String,
        /// `owner`, `admin` or `auditor`.
        #[arg(value_parser = role)]
        role: Role,
    },
    /// Remove an account; its sessions end. The last owner stays.
    Remove {
        /// The account, as `admin list` shows it.
        name: String,
    },
    /// End every session of an account, or of all, on every replica.
    LogOut {
        /// The account; all of them without it.
        name: Option<String>,
    },
}

fn role(word: &str) -> Result<Role, String> {
    Role::parse(word).ok_or_else(|| "a role is owner, admin or auditor".to_owned())
}

/// Commands about the record of changes.
#[derive(Debug, Subcommand)]
pub(crate) enum Audit {
    /// Check that no recorded change was edited, deleted, inserted or moved; status 1 if one was.
    Verify {
        /// Checkpoints that were kept elsewhere: they show whether the end was cut off.
        #[arg(long, value_name = "FILE")]
        checkpoint: Option<PathBuf>,
        /// A public key that may have signed checkpoints, in addition to this server's. May be repeated.
        #[arg(long, value_name = "KEY", requires = "checkpoint")]
        key: Vec<String>,
    },
    /// Accept that the changes up to a place have no MAC by a known key, as those that an earlier release wrote, or
    /// that were written before the key was put into a file.
    Accept {
        /// The place, as `audit verify` shows it.
        #[arg(value_name = "PLACE")]
        place: i64,
    },
    /// Make a signed checkpoint, to be kept where no one can change both it and the database.
    Checkpoint {
        /// Write it to this file instead of standard output.
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
    },
    /// Print recorded changes, one JSON object a line.
    Export {
        /// Only those after this position.
        #[arg(long, default_value_t = 0, value_name = "PLACE")]
        after: i64,
        /// Only those of this tenant.
        #[arg(long, value_name = "NAME")]
        tenant: Option<String>,
    },
    /// Print everything that is held about one person, as JSON: the resource, its groups, recorded changes and
    /// logged requests.
    Person {
        /// The id, userName, displayName or externalId.
        #[arg(value_name = "NAME_OR_ID")]
        who: String,
        /// The tenant.
        #[arg(long, default_value = "default", value_name = "NAME")]
        tenant: String,
    },
    /// Erase a deleted user, group, token or tenant from the record and from the provisioning log.
    Erase {
        /// The id, userName or externalId.
        #[arg(value_name = "NAME_OR_ID")]
        who: String,
        /// The tenant; one that was deleted, by its key.
        #[arg(long, default_value = "default", value_name = "NAME")]
        tenant: String,
    },
}

/// Commands about schema files.
#[derive(Debug, Subcommand)]
pub(crate) enum Schema {
    /// Check files, or a whole schemas.directory, as `serve` does, and show what they define.
    Check {
        /// Files with a schema or a resource type each, or directories of such files.
        #[arg(required = true)]
        files: Vec<PathBuf>,
    },
}

/// Commands about tenants.
#[derive(Debug, Subcommand)]
pub(crate) enum Tenant {
    /// Make a tenant.
    Create {
        /// Lower-case letters, digits and hyphens.
        name: String,
        /// The switches: all, none, or a list such as all,-bare-words.
        #[arg(long, default_value = "all")]
        quirks: String,
    },
    /// List tenants.
    List,
    /// Change a tenant's switches, or switch its tokens off and on.
    Set {
        /// The tenant.
        name: String,
        /// The switches: all, none, or a list such as all,-bare-words.
        #[arg(long)]
        quirks: Option<String>,
        /// Whether its tokens work.
        #[arg(long)]
        enabled: Option<bool>,
    },
    /// Delete a tenant with everything in it.
    Delete {
        /// The tenant.
        name: String,
        /// Confirm that everything in it is deleted.
        #[arg(long)]
        yes: bool,
    },
}

/// Reads the command line; a wrong one ends the process with an explanation.
pub(crate) fn parse() -> Cli {
    Cli::parse()
}
