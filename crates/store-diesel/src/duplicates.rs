//! Resources whose unique name an older one has.
//!
//! No write makes one: a key can be claimed once. An upgrade that considers more names equal finds them, and
//! must not fail for them. The older resource keeps the key; the younger one remembers which it lacks, and
//! cannot be changed until it is renamed or deleted.

use diesel::prelude::*;
use diesel::sql_types::{BigInt, Integer, Text};
use headcount_core::ids::{Kind, ResourceId};
use headcount_core::index::UniqueKey;
use headcount_core::provider::ProviderError;

use crate::connection::DbConnection;
use crate::sql::Sql;
use crate::store::Store;

/// A resource that lacks a unique key because an older one has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Duplicate {
    /// The tenant's name.
    pub tenant: String,
    /// Its kind.
    pub kind: Kind,
    /// Its id.
    pub id: ResourceId,
    /// The attribute whose value the older one has.
    pub path: String,
    /// The older one; none when it was deleted or renamed. Then any change of this one claims the key.
    pub older: Option<ResourceId>,
}

/// Writes the keys that a resource lacks, for its row.
pub(crate) fn text_of(lacking: &[UniqueKey]) -> Option<String> {
    let pairs: Vec<(&str, &str)> =
        lacking.iter().map(|key| (&*key.path, key.folded.as_str())).collect();
    (!pairs.is_empty()).then(|| serde_json::json!(pairs).to_string())
}

/// Reads what [`text_of`] wrote.
pub(crate) fn keys_in(text: Option<&str>) -> Vec<UniqueKey> {
    let pairs: Vec<(String, String)> =
        text.and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default();
    pairs.into_iter().map(|(path, folded)| UniqueKey { path: path.into(), folded }).collect()
}

impl Store {
    /// Lists resources whose unique name an older one has, at most `limit`, oldest first.
    ///
    /// # Errors
    ///
    /// [`ProviderError::Unavailable`] or [`ProviderError::Internal`].
    pub fn duplicates(&self, limit: usize) -> Result<Vec<Duplicate>, ProviderError> {
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        self.readers.read("duplicates are listed", |connection| {
            let rows: Vec<(String, i64, i32, String, String)> = Sql::new(
                "SELECT t.name, r.tenant, r.kind, r.id, r.duplicate FROM resources r \
                 JOIN tenants t ON t.id = r.tenant WHERE r.duplicate IS NOT NULL ORDER BY r.pk LIMIT ",
            )
            .int(limit)
            .query::<(Text, BigInt, Integer, Text, Text)>()
            .load(connection)?;
            let mut found = Vec::new();
            for (name, tenant, number, id, lacking) in rows {
                let Some(kind) = self.dictionary.kind_of(number) else { continue };
                for key in keys_in(Some(&lacking)) {
                    found.push(Duplicate {
                        tenant: name.clone(),
                        kind: kind.clone(),
                        id: ResourceId::new(id.as_str()),
                        older: self.holder(connection, tenant, number, &key)?,
                        path: key.path.to_string(),
                    });
                }
            }
            Ok(found)
        })
    }

    /// Returns the resource that has a key.
    fn holder(
        &self,
        connection: &mut DbConnection,
        tenant: i64,
        kind: i32,
        key: &UniqueKey,
    ) -> QueryResult<Option<ResourceId>> {
        let Some(path) = self.dictionary.path(&key.path) else { return Ok(None) };
        let sql = Sql::new(
            "SELECT r.id FROM resource_keys k JOIN resources r ON r.pk = k.pk WHERE k.tenant = ",
        )
        .int(tenant)
        .text(" AND k.kind = ")
        .int(kind)
        .text(" AND k.path = ")
        .int(path)
        .text(" AND k.folded = ")
        .string(key.folded.as_str());
        let id = sql.query::<Text>().get_result::<String>(connection).optional()?;
        Ok(id.map(ResourceId::new))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_read_as_they_were_written() {
        let key = |path: &str, folded: &str| UniqueKey { path: path.into(), folded: folded.into() };
        let keys = [key("userName", "a \"b\"\n"), key("urn:x:n", "")];
        assert_eq!(keys_in(text_of(&keys).as_deref()), keys);
        assert_eq!(text_of(&[]), None);
    }
}
