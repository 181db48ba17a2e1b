//! The address of the client, and the URL by which it reaches the server.

use std::net::IpAddr;

use actix_web::HttpRequest;
use actix_web::http::header::{self, HeaderMap};

use crate::connections::Connection;
use crate::settings::HttpSettings;

/// Returns the client's address.
///
/// Behind a proxy, it is the last address in `X-Forwarded-For` that is not a trusted proxy's: the client could
/// have written anything before that (TLS-06).
pub fn address(request: &HttpRequest, settings: &HttpSettings) -> Option<IpAddr> {
    let peer = request.peer_addr().map(|peer| peer.ip());
    if !settings.behind_proxy {
        return peer;
    }
    let forwarded =
        request.headers().get_all("x-forwarded-for").filter_map(|value| value.to_str().ok());
    let hops: Vec<&str> = forwarded.flat_map(|value| value.split(',')).map(str::trim).collect();
    let mut client = peer;
    for hop in hops.iter().rev() {
        // A trusted proxy writes nothing but addresses.
        let Some(address) = parse_hop(hop) else { break };
        client = Some(address);
        if !settings.trusted_proxies.iter().any(|net| net.contains(&address)) {
            break;
        }
    }
    client
}

fn parse_hop(hop: &str) -> Option<IpAddr> {
    let bare = hop
        .strip_prefix('[')
        .and_then(|rest| rest.split_once(']'))
        .map_or(hop, |(inside, _)| inside);
    bare.parse()
        .ok()
        .or_else(|| bare.rsplit_once(':').and_then(|(address, _port)| address.parse().ok()))
}

/// Returns the public scheme and host of the server, without a slash at the end.
pub fn origin(request: &HttpRequest, settings: &HttpSettings) -> String {
    match &settings.public_url {
        Some(url) => url.clone(),
        None => request_origin(request, settings),
    }
}

/// Returns the scheme and host that a request was sent to, whatever the public URL is.
pub fn request_origin(request: &HttpRequest, settings: &HttpSettings) -> String {
    let headers = request.headers();
    let (proto, forwarded_host) = if settings.behind_proxy {
        (first(headers, "x-forwarded-proto"), first(headers, "x-forwarded-host"))
    } else {
        (None, None)
    };
    let scheme = match proto {
        Some("https") => "https",
        Some("http") => "http",
        _ if settings.tls => "https",
        _ => "http",
    };
    let host = forwarded_host
        .or_else(|| first(headers, header::HOST.as_str()))
        .filter(|host| is_authority(host));
    match host {
        Some(host) => format!("{scheme}://{host}"),
        None => {
            let connection = request.conn_data::<Connection>().and_then(Connection::local);
            let local = connection.unwrap_or_else(|| request.app_config().local_addr());
            format!("{scheme}://{local}")
        }
    }
}

/// Returns the first element of a header that is a list.
fn first<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    let value = headers.get(name)?.to_str().ok()?;
    value.split(',').next().map(str::trim).filter(|value| !value.is_empty())
}

/// Returns whether a text is a host name or address with an optional port, and thus safe in a URL and in JSON.
fn is_authority(text: &str) -> bool {
    text.len() <= 255
        && text.bytes().all(|byte| {
            byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_' | b':' | b'[' | b']')
        })
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;

    use super::*;

    fn request(headers: &[(&'static str, &str)]) -> HttpRequest {
        let request = TestRequest::default().peer_addr("10.0.0.9:5000".parse().unwrap());
        headers
            .iter()
            .fold(request, |request, header| request.append_header((header.0, header.1.to_owned())))
            .to_http_request()
    }

    #[test]
    fn tls_06_only_trusted_hops_are_believed() {
        let forwarded = request(&[("x-forwarded-for", "6.6.6.6, 1.2.3.4, 10.0.0.5")]);
        let direct = HttpSettings::default();
        assert_eq!(address(&forwarded, &direct), Some("10.0.0.9".parse().unwrap()));
        let proxied = HttpSettings { behind_proxy: true, ..HttpSettings::default() };
        assert_eq!(address(&forwarded, &proxied), Some("10.0.0.5".parse().unwrap()));
        let chained =
            HttpSettings { trusted_proxies: vec!["10.0.0.0/8".parse().unwrap()], ..proxied };
        assert_eq!(address(&forwarded, &chained), Some("1.2.3.4".parse().unwrap()));
        let forged = request(&[("x-forwarded-for", "nonsense")]);
        assert_eq!(address(&forged, &chained), Some("10.0.0.9".parse().unwrap()));
        let with_port = request(&[("x-forwarded-for", "[2001:db8::1]:443")]);
        assert_eq!(address(&with_port, &chained), Some("2001:db8::1".parse().unwrap()));
    }

    #[test]
    fn inj_07_the_origin_is_configured_or_sane() {
        let settings = HttpSettings::default();
        assert_eq!(
            origin(&request(&[("host", "scim.example:8080")]), &settings),
            "http://scim.example:8080"
        );
        for hostile in ["evil\"><script>", "a b", "x/../y", "h@x"] {
            assert!(!origin(&request(&[("host", hostile)]), &settings).contains(hostile));
        }
        let forwarded = [
            ("host", "inner"),
            ("x-forwarded-host", "outer.example"),
            ("x-forwarded-proto", "https"),
        ];
        assert_eq!(origin(&request(&forwarded), &settings), "http://inner");
        let proxied = HttpSettings { behind_proxy: true, ..settings.clone() };
        assert_eq!(origin(&request(&forwarded), &proxied), "https://outer.example");
        let public = HttpSettings { public_url: Some("https://id.example".to_owned()), ..proxied };
        assert_eq!(origin(&request(&forwarded), &public), "https://id.example");
    }
}
