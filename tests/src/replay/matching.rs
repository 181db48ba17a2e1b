//! JSON pointers with selectors, and the matchers of expectations.

use regex::Regex;
use serde_json::Value;

/// Follows a JSON pointer whose steps may select an element, as `/emails/[type=work]/value`.
pub(crate) fn pointer<'v>(document: &'v Value, pointer: &str) -> Option<&'v Value> {
    if pointer.is_empty() || pointer == "/" {
        return Some(document);
    }
    pointer.trim_start_matches('/').split('/').try_fold(document, |current, token| {
        let token = token.replace("~1", "/").replace("~0", "~");
        match current {
            Value::Array(elements) => {
                let selector = token
                    .strip_prefix('[')
                    .and_then(|rest| rest.strip_suffix(']'))
                    .and_then(|inside| inside.split_once('='));
                match selector {
                    Some((name, wanted)) => elements.iter().find(|element| {
                        element.is_object() && text(element.get(name)).eq_ignore_ascii_case(wanted)
                    }),
                    None => elements.get(token.parse::<usize>().ok()?),
                }
            }
            Value::Object(map) => map.get(&token),
            _ => None,
        }
    })
}

fn text(value: Option<&Value>) -> String {
    match value {
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
        None => String::new(),
    }
}

fn is_empty(value: Option<&Value>) -> bool {
    match value {
        None | Some(Value::Null) => true,
        Some(Value::String(text)) => text.is_empty(),
        Some(Value::Array(values)) => values.iter().all(|value| is_empty(Some(value))),
        Some(Value::Object(map)) => map.values().all(|value| is_empty(Some(value))),
        Some(_) => false,
    }
}

fn has_item(values: &[Value], wanted: &str) -> bool {
    values.iter().any(|value| value == wanted || value["value"] == wanted)
}

/// Returns why a value is not what is wanted; none when it is.
pub(crate) fn matches(actual: Option<&Value>, wanted: &Value) -> Option<String> {
    let shown = actual.map_or_else(
        || "nothing".to_owned(),
        |value| value.to_string().chars().take(160).collect(),
    );
    let matcher = wanted.as_str().and_then(|text| text.strip_prefix('<')?.strip_suffix('>'));
    let Some(matcher) = matcher else {
        return if actual == Some(wanted) {
            None
        } else {
            Some(format!("wanted {wanted}, got {shown}"))
        };
    };
    let (word, argument) = matcher.split_once(':').unwrap_or((matcher, ""));
    let holds = match word {
        "present" => actual.is_some_and(|value| !value.is_null()),
        "absent" => actual.is_none_or(Value::is_null),
        "empty" => is_empty(actual),
        "nonempty" => !is_empty(actual),
        "any" => true,
        "int" => actual.is_some_and(|value| value.is_i64() || value.is_u64()),
        "bool" => actual.is_some_and(Value::is_boolean),
        "string" => actual.is_some_and(Value::is_string),
        "array" => actual.is_some_and(Value::is_array),
        "object" => actual.is_some_and(Value::is_object),
        "ci" => actual
            .and_then(Value::as_str)
            .is_some_and(|text| text.to_lowercase() == argument.to_lowercase()),
        "re" => {
            let pattern = Regex::new(argument).unwrap_or_else(|error| panic!("{wanted}: {error}"));
            actual.and_then(Value::as_str).is_some_and(|text| pattern.is_match(text))
        }
        "not" => actual.is_some() && text(actual) != argument,
        "len" => length(actual) == argument.parse().ok(),
        "minlen" => {
            actual.is_some_and(|value| !value.is_null()) && length(actual) >= argument.parse().ok()
        }
        "ge" => actual
            .and_then(Value::as_i64)
            .is_some_and(|number| Some(number) >= argument.parse().ok()),
        "le" => actual
            .and_then(Value::as_i64)
            .zip(argument.parse().ok())
            .is_some_and(|(number, limit)| number <= limit),
        "contains" => match actual {
            Some(Value::Array(values)) => has_item(values, argument),
            Some(Value::String(text)) => text.contains(argument),
            _ => false,
        },
        "without" => actual.is_some() && !text(actual).contains(argument),
        "lacks" => {
            is_empty(actual)
                || actual
                    .and_then(Value::as_array)
                    .is_some_and(|values| !has_item(values, argument))
        }
        "count" => {
            let (item, wanted) = argument.split_once('=').unwrap_or((argument, "0"));
            let values = actual.and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
            let count =
                values.iter().filter(|value| has_item(std::slice::from_ref(value), item)).count();
            Some(count) == wanted.parse().ok()
        }
        other => return Some(format!("there is no matcher <{other}>")),
    };
    if holds { None } else { Some(format!("wanted {wanted}, got {shown}")) }
}

fn length(value: Option<&Value>) -> Option<usize> {
    match value {
        Some(Value::Array(values)) => Some(values.len()),
        Some(Value::String(text)) => Some(text.chars().count()),
        other if is_empty(other) => Some(0),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn pointers_select_elements() {
        let document = json!({"emails": [{"type": "home", "value": "h"}, {"type": "Work", "value": "w"}], "a/b": 1});
        assert_eq!(pointer(&document, "/emails/[type=work]/value"), Some(&json!("w")));
        assert_eq!(pointer(&document, "/emails/0/value"), Some(&json!("h")));
        assert_eq!(pointer(&document, "/a~1b"), Some(&json!(1)));
        assert_eq!(pointer(&document, "/emails/[type=other]/value"), None);
    }

    #[test]
    fn matchers_hold_and_fail() {
        let list = json!([{"value": "a"}, {"value": "b"}]);
        for (actual, wanted, holds) in [
            (Some(json!("x")), "<present>", true),
            (None, "<present>", false),
            (Some(json!(null)), "<absent>", true),
            (Some(json!([])), "<empty>", true),
            (Some(json!({"a": ""})), "<empty>", true),
            (Some(json!(0)), "<empty>", false),
            (Some(list.clone()), "<contains:a>", true),
            (Some(list.clone()), "<lacks:a>", false),
            (Some(list.clone()), "<count:a=1>", true),
            (Some(list), "<len:2>", true),
            (Some(json!(3)), "<ge:4>", false),
            (Some(json!(3)), "<le:3>", true),
            (Some(json!("Abc")), "<ci:aBC>", true),
            (Some(json!("abc")), "<re:^a.c$>", true),
            (Some(json!(true)), "<bool>", true),
            (Some(json!("x")), "<not:x>", false),
            (None, "<minlen:1>", false),
        ] {
            assert_eq!(
                matches(actual.as_ref(), &json!(wanted)).is_none(),
                holds,
                "{actual:?} {wanted}"
            );
        }
    }
}
