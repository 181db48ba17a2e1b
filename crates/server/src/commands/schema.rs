//! `headcount schema check` and `headcount reindex`: what the deployment's own schemas mean.

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
        output::note("the files are sound, but no resource type uses their schemas");
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

/// Names what differs from an ordinary attribute.
fn rules(attribute: &Attribute) -> Vec<String> {
    let mut rules = Vec::new();
    let mut rule = |holds: bool, text: &str| {
        if holds {
            rules.push(text.to_owned());
        }
    };
    rule(attribute.required, "required");
    rule(attribute.uniqueness == Uniqueness::Server, "unique");
    rule(attribute.case_exact && attribute.value_type == ValueType::String, "case exact");
    rule(attribute.mutability == Mutability::ReadOnly, "only the server sets it");
    rule(attribute.mutability == Mutability::Immutable, "set once");
    rule(attribute.mutability == Mutability::WriteOnly, "checked, then discarded");
    rule(attribute.returned == Returned::Always, "always shown");
    rule(attribute.returned == Returned::Request, "shown on request");
    rule(
        attribute.returned == Returned::Never && attribute.mutability != Mutability::WriteOnly,
        "never shown",
    );
    if !attribute.canonical_values.is_empty() {
        rules.push(format!("such as {}", attribute.canonical_values.join(", ")));
    }
    rules
}

/// Makes everything that is derived from documents anew.
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
