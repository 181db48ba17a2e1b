//! Tokens as rows.

use std::time::Duration;

use diesel::prelude::*;
use headcount_core::change::{Act, Author, Change, TOKEN_KIND};
use headcount_core::clock::Timestamp;
use headcount_core::ids::{ResourceId, TenantId, TokenId};
use headcount_core::quirks::Quirks;
use headcount_records::mac::MacKeys;
use headcount_token_admin::format::Purpose;
use headcount_token_admin::{
    LastUsed, Scopes, StoreError, TenantState, Token, TokenHash, TokenRow, TokenStore, canonical,
};

use crate::changes;
use crate::connection::{DbConnection, with_backend};
use crate::schema::{tenants, tokens};
use crate::sql::still_wanted;
use crate::store::Store;

#[derive(Queryable, Selectable)]
#[diesel(table_name = tokens)]
struct Row {
    id: String,
    tenant: i64,
    purpose: String,
    name: String,
    scopes: String,
    cidrs: String,
    created: i64,
    created_by: String,
    expires: Option<i64>,
    revoked: Option<i64>,
    replaces: Option<String>,
    user_id: Option<String>,
    used_at: Option<i64>,
    used_address: Option<String>,
    used_agent: Option<String>,
}

impl Row {
    fn token(self) -> Token {
        Token {
            id: TokenId::new(self.id),
            purpose: if self.purpose == ADMINISTRATION {
                Purpose::Administration
            } else {
                Purpose::Provisioning
            },
            tenant: TenantId::new(self.tenant),
            name: self.name,
            // A scope that this release does not know allows nothing. A network that cannot be read admits no
            // client; left out, it would leave an empty list, which admits all.
            scopes: self
                .scopes
                .split(' ')
                .filter_map(Scopes::parse)
                .fold(Scopes::default(), Scopes::with),
            cidrs: self
                .cidrs
                .split_whitespace()
                .map(|net| net.parse().map_or_else(|_| empty_network(), canonical))
                .collect(),
            created: Timestamp::from_micros(self.created),
            created_by: self.created_by,
            expires: self.expires.map(Timestamp::from_micros),
            revoked: self.revoked.map(Timestamp::from_micros),
            replaces: self.replaces.map(TokenId::new),
            last_used: self.used_at.map(|at| LastUsed {
                at: Timestamp::from_micros(at),
                address: self.used_address.and_then(|text| text.parse().ok()),
                agent: self.used_agent,
            }),
            user: self.user_id.map(ResourceId::new),
        }
    }
}

/// The least age of a recorded use that is replaced, shorter than the minute of
/// [`Tokens::record_use`](headcount_token_admin::Tokens::record_use), whose clock may differ a little.
const MIN_USE_AGE: Duration = Duration::from_secs(50);

const PROVISIONING: &str = "provisioning";
const ADMINISTRATION: &str = "administration";

/// Returns a network without clients: 0.0.0.0 is no source address.
fn empty_network() -> ipnet::IpNet {
    ipnet::IpNet::V4(ipnet::Ipv4Net::new_assert(std::net::Ipv4Addr::UNSPECIFIED, 32))
}

fn insert(
    connection: &mut DbConnection,
    keys: &MacKeys,
    row: &TokenRow,
    by: &Author,
) -> QueryResult<()> {
    let token = &row.token;
    let purpose = match token.purpose {
        Purpose::Provisioning => PROVISIONING,
        Purpose::Administration => ADMINISTRATION,
    };
    let cidrs: Vec<String> = token.cidrs.iter().map(ToString::to_string).collect();
    let values = (
        (
            tokens::id.eq(token.id.as_str()),
            tokens::tenant.eq(token.tenant.key()),
            tokens::purpose.eq(purpose),
            tokens::name.eq(&token.name),
            tokens::scopes.eq(token.scopes.to_string()),
            tokens::cidrs.eq(cidrs.join(" ")),
            tokens::phc.eq(row.hash.to_store()),
            tokens::tag.eq(&row.tag[..]),
            tokens::tag_key.eq(""),
            tokens::secret_version.eq(row.secret_version),
        ),
        (
            tokens::user_id.eq(token.user.as_ref().map(ResourceId::as_str)),
            tokens::created.eq(token.created.micros()),
            tokens::created_by.eq(&token.created_by),
            tokens::expires.eq(token.expires.map(Timestamp::micros)),
            tokens::replaces.eq(token.replaces.as_ref().map(TokenId::as_str)),
        ),
    );
    diesel::insert_into(tokens::table).values(values).execute(connection)?;
    record(connection, keys, token.tenant, &token.id, &token.creation(by))
}

pub(crate) fn record(
    connection: &mut DbConnection,
    keys: &MacKeys,
    tenant: TenantId,
    id: &TokenId,
    change: &Change,
) -> QueryResult<()> {
    changes::append_other(connection, keys, tenant, change, TOKEN_KIND, id.as_str())
}

impl TokenStore for Store {
    fn insert(&self, row: &TokenRow, by: &Author) -> Result<(), StoreError> {
        self.write_admin(|connection| Ok(insert(connection, self.keys(), row, by)?))
    }

    fn find(&self, id: &TokenId) -> Result<Option<(TokenRow, TenantState)>, StoreError> {
        // PostgreSQL refuses a text with a NUL.
        if id.as_str().contains('\0') {
            return Ok(None);
        }
        let row = self.read_admin("a token is read", |connection| {
            with_backend!(connection, |one| tokens::table
                .inner_join(tenants::table.on(tenants::id.eq(tokens::tenant)))
                .filter(tokens::id.eq(id.as_str()))
                .select((
                    Row::as_select(),
                    (
                        tokens::phc,
                        tokens::tag,
                        tokens::secret_version,
                        tenants::enabled,
                        tenants::quirks,
                    ),
                ))
                .first::<(Row, (String, Vec<u8>, i64, i32, i64))>(one))
            .optional()
        })?;
        Ok(row.map(|(row, (phc, tag, secret_version, enabled, quirks))| {
            let row = TokenRow {
                token: row.token(),
                hash: TokenHash::from_store(phc),
                // A tag of another length fits no token.
                tag: tag.try_into().unwrap_or_default(),
                secret_version,
            };
            (row, TenantState { enabled: enabled != 0, quirks: Quirks::from_bits(quirks) })
        }))
    }

    fn list(&self, tenant: Option<TenantId>) -> Result<Vec<Token>, StoreError> {
        let rows = self.read_admin("tokens are listed", |connection| {
            let all = tokens::table
                .filter(still_wanted(connection))
                .select(Row::as_select())
                .order((tokens::created.desc(), tokens::id));
            match tenant {
                Some(tenant) => all.filter(tokens::tenant.eq(tenant.key())).load::<Row>(connection),
                None => all.load::<Row>(connection),
            }
        })?;
        Ok(rows.into_iter().map(Row::token).collect())
    }

    fn revoke(&self, id: &TokenId, at: Timestamp, by: &Author) -> Result<bool, StoreError> {
        self.write_admin(|connection| {
            let row =
                tokens::table.filter(tokens::id.eq(id.as_str())).filter(tokens::revoked.is_null());
            let author = by.actor.to_string();
            let values = (tokens::revoked.eq(at.micros()), tokens::revoked_by.eq(author));
            let revoked: Option<(i64, String)> = diesel::update(row)
                .set(values)
                .returning((tokens::tenant, tokens::name))
                .get_result(connection)
                .optional()?;
            let Some((tenant, name)) = revoked else { return Ok(false) };
            let change = Change::of(Act::Revoked, &name, &["revoked"], at, by);
            record(connection, self.keys(), TenantId::new(tenant), id, &change)?;
            Ok(true)
        })
    }

    fn replace(&self, row: &TokenRow, until: Timestamp, by: &Author) -> Result<(), StoreError> {
        self.write_admin(|connection| {
            insert(connection, self.keys(), row, by)?;
            if let Some(old) = &row.token.replaces {
                let later = tokens::table
                    .filter(tokens::id.eq(old.as_str()))
                    .filter(tokens::expires.is_null().or(tokens::expires.gt(until.micros())));
                let ended: Option<(i64, String)> = diesel::update(later)
                    // The administrator who rotates it knows its end, which need not be announced.
                    .set((
                        tokens::expires.eq(until.micros()),
                        tokens::expiry_told.eq(until.micros()),
                    ))
                    .returning((tokens::tenant, tokens::name))
                    .get_result(connection)
                    .optional()?;
                if let Some((tenant, name)) = ended {
                    let at = row.token.created;
                    let change = Change::of(Act::Rotated, &name, &["expires"], at, by);
                    record(connection, self.keys(), TenantId::new(tenant), old, &change)?;
                }
            }
            Ok(())
        })
    }

    fn mark_used(&self, id: &TokenId, used: &LastUsed) -> Result<(), StoreError> {
        self.write_admin(|connection| {
            // Of several replicas that saw the token in the same minute, one writes.
            let before = used.at.minus(MIN_USE_AGE).micros();
            let stale = tokens::table
                .filter(tokens::id.eq(id.as_str()))
                .filter(tokens::used_at.is_null().or(tokens::used_at.lt(before)));
            let values = (
                tokens::used_at.eq(used.at.micros()),
                tokens::used_address.eq(used.address.map(|address| address.to_string())),
                tokens::used_agent.eq(&used.agent),
            );
            diesel::update(stale).set(values).execute(connection)?;
            Ok(())
        })
    }
}
