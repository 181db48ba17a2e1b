//! `headcount schema check` and `headcount reindex`: checks and applies schemas of the deployment's own.

use std::path::PathBuf;

use headcount_core::schema::{
    Attribute, Mutability, Registry, ResourceType, Returned, Uniqueness, ValueType,
};
use serde_json::json;

use crate::cli::Format;
use crate::config::Config;
use crate::output;
use crate::schemas;
use crate::wiring;

/// Checks schema files as `serve` would and explains what they define.
pub(super) fn check(files: &[PathBuf], format: Format) -> anyhow::Result<()> {
    let registry = schemas::registry_of(files)?;
    let builtin = Registry::builtin()?;
    let new: Vec<&ResourceType> = registry
        .kinds()
        .iter()
        .map(|kind| &**kind)
        .filter(|kind| builtin.kind(kind.kind.as_str()).is_none_or(|known| differ(known, kind)))
        .collect();
    if format == Format::Json {
        let types: Vec<_> = new.iter().map(|kind| &kind.document).collect();
        let schemas = registry.schemas().iter();
        let schemas: Vec<_> = schemas
            .filter(|schema| builtin.schema(schema.id.as_str()).is_none())
            .map(|schema| &schema.document)
            .collect();
        output::json(&json!({"resourceTypes": types, "schemas": schemas}));
        return Ok(());
    }
    if new.is_empty() {
        output::note("the files are valid, but no resource type uses their schemas");
    }
    for kind in new {
        explain(kind, &builtin);
    }
    Ok(())
}

fn differ(known: &ResourceType, kind: &ResourceType) -> bool {
    known.document != kind.document || known.indexed.len() != kind.indexed.len()
}

fn explain(kind: &ResourceType, builtin: &Registry) {
    output::result(&format!("{} at {}", kind.kind, kind.endpoint));
    for (urn, container) in kind.containers() {
        if builtin.schema(urn.as_str()).is_some() {
            output::result(&format!("  {urn}: as built in"));
            continue;
        }
        output::result(&format!("  {urn}"));
        let rows: Vec<Vec<String>> = container
            .attributes(kind)
            .iter()
            .flat_map(|attribute| {
                let prefix = format!("    {}", attribute.name);
                let whole = row(kind, urn.as_str(), attribute, &prefix);
                let subs = attribute.sub_attributes.iter().map(move |sub| {
                    let name = format!("    {}.{}", attribute.name, sub.name);
                    vec![name, type_of(sub), rules(sub).join(", ")]
                });
                std::iter::once(whole).chain(subs)
            })
            .collect();
        output::table(&["    ATTRIBUTE", "TYPE", "RULES"], &rows);
    }
}

fn row(kind: &ResourceType, urn: &str, attribute: &Attribute, name: &str) -> Vec<String> {
    let mut rules = rules(attribute);
    let indexed = kind.indexed.iter().any(|indexed| {
        let at = &indexed.reference;
        let home = at.container.as_ref().map_or(kind.schema.id.as_str(), |urn| urn.as_str());
        home == urn && at.attribute.name == attribute.name
    });
    if indexed {
        rules.push("indexed".to_owned());
    }
    vec![name.to_owned(), type_of(attribute), rules.join(", ")]
}

fn type_of(attribute: &Attribute) -> String {
    let name = match attribute.value_type {
        ValueType::String => "string",
        ValueType::Boolean => "boolean",
        ValueType::Decimal => "decimal",
        ValueType::Integer => "integer",
        ValueType::DateTime => "dateTime",
        ValueType::Binary => "binary",
        ValueType::Reference => "reference",
        ValueType::Complex => "complex",
    };
    if attribute.multi_valued { format!("{name} list") } else { name.to_owned() }
}

/// Returns how an attribute differs from an ordinary one.
fn rules(attribute: &Attribute) -> Vec<String> {
    let is_secret = attribute.mutability == Mutability::WriteOnly;
    let all = [
        (attribute.required, "required"),
        (attribute.uniqueness == Uniqueness::Server, "unique"),
        (attribute.case_exact && attribute.value_type == ValueType::String, "case exact"),
        (attribute.mutability == Mutability::ReadOnly, "only the server sets it"),
        (attribute.mutability == Mutability::Immutable, "set once"),
        (is_secret, "checked, then discarded"),
        (attribute.returned == Returned::Always, "always shown"),
        (attribute.returned == Returned::Request, "shown on request"),
        (attribute.returned == Returned::Never && !is_secret, "never shown"),
    ];
    let mut rules: Vec<String> =
        all.into_iter().filter(|(holds, _)| *holds).map(|(_, rule)| rule.to_owned()).collect();
    if !attribute.canonical_values.is_empty() {
        rules.push(format!("such as {}", attribute.canonical_values.join(", ")));
    }
    rules
}

/// Derives everything from the documents again.
pub(super) fn reindex(config: &Config, format: Format) -> anyhow::Result<()> {
    let parts = wiring::command(config)?;
    let mut counts = serde_json::Map::new();
    for kind in parts.registry.kinds() {
        let count = wiring::rebuild(&parts, kind)?;
        counts.insert(kind.kind.to_string(), count.into());
    }
    match format {
        Format::Json => output::json(&json!({"rebuilt": counts})),
        Format::Text => {
            for (kind, count) in counts {
                output::note(&format!("{kind}: {count} resources"));
            }
        }
    }
    Ok(())
}
