//! URLs with what is secret in them left out.

use std::fmt;

/// A URL of a service or a database, read so that what is known to be no secret can be shown.
///
/// What is shown is chosen, not what is hidden: a password in an unexpected position must not appear. A text that
/// could be read in two ways is none, and nothing of it may be shown.
#[derive(Clone, PartialEq, Eq)]
pub struct MaskedUrl {
    scheme: &'static str,
    user: Option<String>,
    has_credentials: bool,
    hosts: Vec<String>,
    path: String,
    parameters: Vec<(String, String)>,
}

const POSTGRES: [&str; 2] = ["postgres", "postgresql"];
const HTTP: [&str; 2] = ["http", "https"];

/// Parameters of PostgreSQL whose values are shown.
const SHOWN: [&str; 12] = [
    "host",
    "hostaddr",
    "port",
    "user",
    "dbname",
    "sslmode",
    "sslrootcert",
    "target_session_attrs",
    "connect_timeout",
    "application_name",
    "channel_binding",
    "gssencmode",
];
/// The other parameters of PostgreSQL, or how they begin.
const HIDDEN: [&str; 25] = [
    "password",
    "passfile",
    "service",
    "client_encoding",
    "options",
    "fallback_application_name",
    "keepalives",
    "tcp_user_timeout",
    "ssl",
    "require",
    "min_protocol_version",
    "max_protocol_version",
    "krbsrvname",
    "gsslib",
    "gssdelegation",
    "replication",
    "load_balance_hosts",
    "scram_client_key",
    "scram_server_key",
    "oauth_issuer",
    "oauth_client_id",
    "oauth_client_secret",
    "oauth_scope",
    "authtype",
    "tty",
];
/// Paths of HTTP that are shown: those of OpenTelemetry. Others may contain a key.
const SHOWN_PATHS: [&str; 3] = ["", "/", "/v1/traces"];

impl MaskedUrl {
    /// Reads a URL of PostgreSQL or of HTTP.
    pub fn parse(text: &str) -> Option<Self> {
        let (scheme, rest) = text.split_once("://")?;
        let scheme = POSTGRES.into_iter().chain(HTTP).find(|known| *known == scheme)?;
        let is_database = POSTGRES.contains(&scheme);
        // A fragment is either a mistake or a part of a password.
        if !is_encoded(rest) || rest.contains('#') {
            return None;
        }
        let end = rest.find(['/', '?']).unwrap_or(rest.len());
        let (authority, rest) = rest.split_at_checked(end)?;
        let (path, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (user, hosts) = match authority.split_once('@') {
            Some((user, hosts)) => (Some(user), hosts),
            None => (None, authority),
        };
        let (user, password) = match user.map(|user| user.split_once(':').ok_or(user)) {
            Some(Ok((user, password))) => (Some(user), Some(password)),
            Some(Err(user)) => (Some(user), None),
            None => (None, None),
        };
        let hosts: Vec<String> = hosts.split(',').map(str::to_owned).collect();
        // Here a password would be that has a slash or a question mark.
        let plain = user.is_none_or(|user| user.chars().all(is_plain))
            && hosts.iter().all(|host| is_host(host))
            && path.chars().all(|c| is_plain(c) || c == '/');
        let is_one_segment = path.strip_prefix('/').is_none_or(|name| !name.contains('/'));
        if !plain || (is_database && !is_one_segment) {
            return None;
        }
        let parameters = parameters(query)?;
        if is_database && !parameters.iter().all(|(name, _)| is_parameter(name)) {
            return None;
        }
        Some(Self {
            scheme,
            // The user of a service of HTTP is often its key.
            user: user.filter(|_| is_database).map(str::to_owned),
            has_credentials: password.is_some() || (user.is_some() && !is_database),
            hosts,
            path: path.to_owned(),
            parameters,
        })
    }

    /// Returns the value of a parameter.
    pub fn parameter(&self, name: &str) -> Option<&str> {
        self.parameters.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// Returns the hosts, with their ports; empty ones are the default.
    pub fn hosts(&self) -> impl Iterator<Item = &str> {
        self.hosts.iter().map(String::as_str)
    }

    /// Returns whether it contains more than what is shown.
    pub fn has_secret(&self) -> bool {
        self.has_credentials || self.to_string().ends_with('…') || self.hidden().next().is_some()
    }

    /// Returns whether a parameter is shown.
    fn shows(&self, name: &str, value: &str) -> bool {
        POSTGRES.contains(&self.scheme)
            && SHOWN.contains(&name)
            && value.chars().all(|c| c != '%' && (is_plain(c) || c == '/'))
    }

    /// Returns the parameters that are not shown.
    fn hidden(&self) -> impl Iterator<Item = &(String, String)> {
        self.parameters.iter().filter(|(name, value)| !self.shows(name, value))
    }
}

impl fmt::Display for MaskedUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://", self.scheme)?;
        if let Some(user) = &self.user {
            write!(f, "{user}@")?;
        }
        f.write_str(&self.hosts.join(","))?;
        if POSTGRES.contains(&self.scheme) || SHOWN_PATHS.contains(&self.path.as_str()) {
            f.write_str(&self.path)?;
        } else {
            f.write_str("/…")?;
        }
        let shown = self.parameters.iter().filter(|(name, value)| self.shows(name, value));
        for (index, (name, value)) in shown.enumerate() {
            write!(f, "{}{name}={value}", if index == 0 { '?' } else { '&' })?;
        }
        Ok(())
    }
}

impl fmt::Debug for MaskedUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Returns whether each percent sign begins a code, and nothing is in the text that a URL cannot have.
fn is_encoded(text: &str) -> bool {
    let codes = text.split('%').skip(1).all(|part| {
        let code = part.as_bytes().get(..2).unwrap_or_default();
        code.len() == 2 && code.iter().all(u8::is_ascii_hexdigit) && code != b"00"
    });
    codes && text.chars().all(|c| c.is_ascii_graphic())
}

/// Returns whether a character is part of a name, without a meaning of its own in a URL.
fn is_plain(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_' | '~' | '%')
}

/// Returns whether a text is a host with an optional port; the empty one is the default.
fn is_host(text: &str) -> bool {
    let (host, port) = match text.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((host, port)) if host.parse::<std::net::Ipv6Addr>().is_ok() => ("", port),
        Some(_) => return false,
        None => text.find(':').and_then(|at| text.split_at_checked(at)).unwrap_or((text, "")),
    };
    let digits = port.strip_prefix(':').unwrap_or(port);
    host.chars().all(is_plain)
        && (port.is_empty() || port.starts_with(':'))
        && digits.len() <= 5
        && digits.bytes().all(|byte| byte.is_ascii_digit())
}

/// Reads the parameters of a query, with their names decoded.
fn parameters(query: &str) -> Option<Vec<(String, String)>> {
    if query.is_empty() {
        return Some(Vec::new());
    }
    let pairs = query.split('&').map(|pair| {
        let (name, value) = pair.split_once('=')?;
        (!value.contains('=')).then(|| (decode(name), value.to_owned()))
    });
    pairs.collect()
}

/// Decodes the letters of a name.
fn decode(name: &str) -> String {
    let mut parts = name.split('%');
    let mut decoded = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (code, rest) = part.split_at_checked(2).unwrap_or(("", part));
        let c = u8::from_str_radix(code, 16).map_or('?', char::from);
        decoded.push(c);
        decoded.push_str(rest);
    }
    decoded
}

fn is_parameter(name: &str) -> bool {
    name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_')
        && (SHOWN.contains(&name) || HIDDEN.iter().any(|begin| name.starts_with(begin)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cfg_03_s_b_only_what_is_known_to_be_no_secret_is_shown() {
        for (text, shown) in [
            ("postgres://u:SECRET@h/d", "postgres://u@h/d"),
            ("postgres://u:SE:CRET@h:5432/d", "postgres://u@h:5432/d"),
            ("postgres://u:%2FSECRET@h/d?sslmode=require", "postgres://u@h/d?sslmode=require"),
            ("postgres://u@h/d?password=SECRET", "postgres://u@h/d"),
            (
                "postgres://u@h/d?passw%6frd=SECRET&sslmode=disable",
                "postgres://u@h/d?sslmode=disable",
            ),
            ("postgres://u@h/d?password=SEC@RET", "postgres://u@h/d"),
            ("postgres://u@h/d?sslpassword=SECRET", "postgres://u@h/d"),
            ("postgres://u@h/d?options=-c%20x%3DSECRET", "postgres://u@h/d"),
            ("postgres://u@h/d?application_name=a%3DSECRET@x", "postgres://u@h/d"),
            ("postgresql://a,b:5433,[::1]:5434/d", "postgresql://a,b:5433,[::1]:5434/d"),
            (
                "postgres:///d?host=/run/postgresql&user=u",
                "postgres:///d?host=/run/postgresql&user=u",
            ),
            ("http://user:SECRET@h:4318/v1/traces", "http://h:4318/v1/traces"),
            ("https://SECRET@h/v1/traces", "https://h/v1/traces"),
            ("https://h/SECRET/v1/traces", "https://h/…"),
            ("https://h/v1/traces?key=SECRET&user=SECRET", "https://h/v1/traces"),
            ("https://scim.example.com", "https://scim.example.com"),
        ] {
            let url = MaskedUrl::parse(text).unwrap_or_else(|| panic!("{text} is a URL"));
            assert_eq!(url.to_string(), shown, "{text}");
            assert_eq!(format!("{url:?}"), shown);
        }
    }

    #[test]
    fn cfg_03_s_b_nothing_is_shown_of_what_can_be_read_in_two_ways() {
        for text in [
            "postgres://u:SEC/RET@h/d",
            "postgres://u:SEC?RET@h/d",
            "postgres://u:SEC#RET@h/d",
            "postgres://u:SEC@RET@h/d",
            "postgres://u:SEC%RET@h/d",
            "postgres://u:SEC RET@h/d",
            "postgres://u:12/SECRET@h/d",
            "postgres://u:12?SECRET@h/d",
            "postgres://u:12?SEC=RET@h/d",
            "postgres://u@h/d?PASSWORD=SECRET",
            "postgres://u@h/d?SECRET",
            "postgres://u@h/d?password=a=SECRET",
            "postgres://u@h/d/SECRET",
            "postgres://u:SECRET",
            "host=h password=SECRET",
            "u:SECRET@h/d",
            "POSTGRES://u:SECRET@h/d",
            "mysql://u:SECRET@h/d",
            "http://u:SEC/RET@h/",
            "",
        ] {
            assert!(MaskedUrl::parse(text).is_none(), "{text}");
        }
    }

    #[test]
    fn what_decides_about_encryption_can_be_asked_for() {
        let url = MaskedUrl::parse("postgres://u:p@a,b:1/d?sslmode=require").unwrap();
        assert_eq!(url.hosts().collect::<Vec<_>>(), ["a", "b:1"]);
        assert_eq!(url.parameter("sslmode"), Some("require"));
        assert!(url.has_secret());
        for (text, expected) in [
            ("postgres://u@a/d?sslmode=require", false),
            ("postgres://a/d?password=x", true),
            ("http://u@a/v1/traces", true),
            ("http://a/key", true),
            ("http://a/v1/traces?key=x", true),
            ("http://a/v1/traces", false),
        ] {
            assert_eq!(MaskedUrl::parse(text).unwrap().has_secret(), expected, "{text}");
        }
    }
}
