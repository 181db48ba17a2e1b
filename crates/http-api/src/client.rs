//! The address of the client, and the URL by which it reaches the server.

use std::net::IpAddr;
use std::sync::Once;

use actix_web::HttpRequest;
use actix_web::http::header::{self, HeaderMap};

use crate::connections::Connection;
use crate::settings::HttpSettings;

/// Returns the client's address, as IPv4 where it has one.
///
/// Behind a proxy, it is the last address in `X-Forwarded-For` that is not a listed proxy's: the client could
/// have written anything before that (TLS-06).
pub fn address(request: &HttpRequest, settings: &HttpSettings) -> Option<IpAddr> {
    forwarded(request, settings).0
}

/// Returns the client's address, and how many hops of `X-Forwarded-For` behind it are those of listed proxies, or
/// `None` for a peer that is not believed.
fn forwarded(request: &HttpRequest, settings: &HttpSettings) -> (Option<IpAddr>, Option<usize>) {
    let peer = request.peer_addr().map(|peer| peer.ip().to_canonical());
    if !peer.is_some_and(|peer| settings.is_proxy(peer)) {
        if settings.expects_proxy() && request.headers().contains_key("x-forwarded-for") {
            report_stranger(peer);
        }
        return (peer, None);
    }
    let (mut client, mut proxies) = (peer, 0);
    for hop in elements(request.headers(), "x-forwarded-for").into_iter().rev() {
        // A proxy that is believed writes nothing but addresses.
        let Some(address) = parse_hop(hop) else { break };
        client = Some(address);
        if !settings.is_listed(address) {
            break;
        }
        proxies += 1;
    }
    (client, Some(proxies))
}

/// Logs, once, that a peer is not believed: it may be a proxy that the list lacks, and then every client has its
/// address.
fn report_stranger(peer: Option<IpAddr>) {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let peer = peer.map(|peer| peer.to_string());
        tracing::warn!(
            peer,
            "X-Forwarded-For of a peer that is no known proxy was ignored; if it is yours, add it to http.trusted_proxies"
        );
    });
}

/// Returns the elements of a header that is a list, over all its lines.
fn elements<'h>(headers: &'h HeaderMap, name: &str) -> Vec<&'h str> {
    let lines = headers.get_all(name).filter_map(|value| value.to_str().ok());
    lines.flat_map(|line| line.split(',')).map(str::trim).collect()
}

/// Returns the element of a list that the proxy added to which the client is connected: each of the listed
/// proxies behind it added one. Where some add none, it is the first one that is left.
fn added_by_proxy<'h>(headers: &'h HeaderMap, name: &str, proxies: usize) -> Option<&'h str> {
    elements(headers, name).into_iter().rev().take(proxies.saturating_add(1)).next_back()
}

fn parse_hop(hop: &str) -> Option<IpAddr> {
    let bare = hop
        .strip_prefix('[')
        .and_then(|rest| rest.split_once(']'))
        .map_or(hop, |(inside, _)| inside);
    let address: Option<IpAddr> = bare
        .parse()
        .ok()
        .or_else(|| bare.rsplit_once(':').and_then(|(address, _port)| address.parse().ok()));
    address.map(|address| address.to_canonical())
}

/// Returns the public scheme and host of the server, without a slash at the end.
pub fn origin(request: &HttpRequest, settings: &HttpSettings) -> String {
    match &settings.public_url {
        Some(url) => url.clone(),
        None => request_origin(request, settings),
    }
}

/// Returns the public scheme and host of the console, without a slash at the end.
pub fn console_origin(request: &HttpRequest, settings: &HttpSettings) -> String {
    match settings.admin_apart {
        true => request_origin(request, settings),
        false => origin(request, settings),
    }
}

/// Returns the scheme and host that a request was sent to, whatever the public URL is.
pub fn request_origin(request: &HttpRequest, settings: &HttpSettings) -> String {
    let headers = request.headers();
    let (_, believed) = forwarded(request, settings);
    let proto = believed.and_then(|n| added_by_proxy(headers, "x-forwarded-proto", n));
    let scheme = match proto {
        Some("https") => "https",
        Some("http") => "http",
        _ if settings.tls => "https",
        _ => "http",
    };
    let host = believed
        .and_then(|n| added_by_proxy(headers, "x-forwarded-host", n))
        .filter(|host| !host.is_empty())
        .or_else(|| target_authority(request))
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

/// Returns whether the client reached the server over TLS: directly, or as a proxy that is believed says. One that
/// says nothing is taken for the public URL's.
pub(crate) fn is_over_tls(request: &HttpRequest, settings: &HttpSettings) -> bool {
    if settings.tls {
        return true;
    }
    let (_, believed) = forwarded(request, settings);
    believed.is_some_and(|proxies| {
        match added_by_proxy(request.headers(), "x-forwarded-proto", proxies) {
            Some(proto) => proto == "https",
            None => settings.public_url.as_ref().is_some_and(|url| url.starts_with("https://")),
        }
    })
}

/// Returns the authority that a request names: that of a target in absolute form, whatever the header `Host` says
/// (RFC 9112 §3.2.2), which is also where HTTP/2 has it.
fn target_authority(request: &HttpRequest) -> Option<&str> {
    match request.uri().authority() {
        Some(authority) => Some(authority.as_str()),
        None => request.headers().get(header::HOST)?.to_str().ok(),
    }
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

    fn settings(behind_proxy: bool, proxies: &[&str]) -> HttpSettings {
        let trusted_proxies = proxies.iter().map(|net| net.parse().unwrap()).collect();
        HttpSettings { behind_proxy, trusted_proxies, ..HttpSettings::default() }
    }

    /// A request from a peer with these headers.
    fn from(peer: &str, headers: &[(&'static str, &str)]) -> HttpRequest {
        let peer = std::net::SocketAddr::new(peer.parse().unwrap(), 5000);
        headers
            .iter()
            .fold(TestRequest::default().peer_addr(peer), |request, header| {
                request.append_header((header.0, header.1.to_owned()))
            })
            .to_http_request()
    }

    #[test]
    fn tls_06_s5_only_proxies_are_believed() {
        const OUTSIDE: &str = "198.51.100.7";
        let listed: &[&str] = &["10.0.0.0/8"];
        // Whether there is a proxy, which are listed, the peer, what it forwards, and who the client is.
        let cases = [
            (false, &[][..], "10.0.0.9", "6.6.6.6, 1.2.3.4", "10.0.0.9"),
            (true, &[], "10.0.0.9", "6.6.6.6, 1.2.3.4, 10.0.0.5", "10.0.0.5"),
            (true, &[], "127.0.0.1", "1.2.3.4", "1.2.3.4"),
            (true, &[], "::1", "1.2.3.4", "1.2.3.4"),
            (true, &[], "fd00::7", "1.2.3.4", "1.2.3.4"),
            (true, &[], OUTSIDE, "1.2.3.4", OUTSIDE),
            (true, listed, "10.0.0.9", "6.6.6.6, 1.2.3.4, 10.0.0.5", "1.2.3.4"),
            // A list is a list: being near is not enough.
            (true, listed, "127.0.0.1", "1.2.3.4", "127.0.0.1"),
            (true, listed, "192.168.1.1", "1.2.3.4", "192.168.1.1"),
            (true, listed, OUTSIDE, "1.2.3.4", OUTSIDE),
            // One that is listed is believed.
            (false, listed, "10.0.0.9", "1.2.3.4", "1.2.3.4"),
            (true, listed, "10.0.0.9", "nonsense", "10.0.0.9"),
            (true, listed, "10.0.0.9", "[2001:db8::1]:443", "2001:db8::1"),
            (true, listed, "10.0.0.9", "1.2.3.4:443", "1.2.3.4"),
            // An IPv4 address is one, however it is written.
            (true, listed, "::ffff:10.0.0.9", "1.2.3.4", "1.2.3.4"),
            (true, listed, "10.0.0.9", "6.6.6.6, 1.2.3.4, ::ffff:10.0.0.5", "1.2.3.4"),
            (true, listed, "10.0.0.9", "::ffff:1.2.3.4", "1.2.3.4"),
            (false, &[], "::ffff:192.0.2.1", "", "192.0.2.1"),
        ];
        for (behind_proxy, proxies, peer, hops, expected) in cases {
            let request = from(peer, &[("x-forwarded-for", hops)]);
            let client = address(&request, &settings(behind_proxy, proxies));
            let expected = expected.parse().ok();
            assert_eq!(client, expected, "{peer} forwards {hops}: {proxies:?} {behind_proxy}");
        }
    }

    #[test]
    fn tls_06_s5_host_and_scheme_are_what_the_nearest_proxy_of_the_client_says() {
        let hosts = |value| [("host", "inner"), ("x-forwarded-host", value)];
        let near = settings(true, &[]);
        let ask =
            |request: &HttpRequest, settings: &HttpSettings| request_origin(request, settings);
        let request = from("10.0.0.9", &hosts("evil.example, real.example"));
        assert_eq!(ask(&request, &near), "http://real.example");
        // Two lines are one list.
        let mut lines = hosts("evil.example").to_vec();
        lines.push(("x-forwarded-host", "real.example"));
        assert_eq!(ask(&from("10.0.0.9", &lines), &near), "http://real.example");
        // Who is not believed says nothing, neither here nor about TLS.
        let mut lines = hosts("real.example").to_vec();
        lines.push(("x-forwarded-proto", "https"));
        assert_eq!(ask(&from("198.51.100.7", &lines), &near), "http://inner");
        let elsewhere = settings(true, &["203.0.113.0/24"]);
        assert_eq!(ask(&from("10.0.0.9", &lines), &elsewhere), "http://inner");
        assert_eq!(ask(&from("10.0.0.9", &lines), &near), "https://real.example");
        // Behind two proxies, the outer one knows what the client asked for.
        let chain = settings(true, &["10.0.0.0/8"]);
        let mut lines = hosts("evil.example, real.example, middle").to_vec();
        lines.push(("x-forwarded-for", "6.6.6.6, 1.2.3.4, 10.0.0.5"));
        lines.push(("x-forwarded-proto", "http, https, http"));
        assert_eq!(ask(&from("10.0.0.9", &lines), &chain), "https://real.example");
        // The inner one adds nothing.
        let mut lines = hosts("real.example").to_vec();
        lines.push(("x-forwarded-for", "1.2.3.4, 10.0.0.5"));
        assert_eq!(ask(&from("10.0.0.9", &lines), &chain), "http://real.example");
    }

    #[test]
    fn hdr_02_tls_is_what_the_server_or_its_proxy_speaks() {
        const PUBLIC: Option<&str> = Some("https://scim.example");
        let proto = |value| [("x-forwarded-proto", value)];
        for (peer, headers, public_url, tls, expected) in [
            ("192.0.2.1", &[][..], None, true, true),
            ("192.0.2.1", &[], PUBLIC, false, false),
            ("192.0.2.1", &proto("https"), PUBLIC, false, false),
            ("10.0.0.9", &proto("https"), None, false, true),
            ("10.0.0.9", &proto("http"), PUBLIC, false, false),
            ("10.0.0.9", &[], PUBLIC, false, true),
            ("10.0.0.9", &[], None, false, false),
        ] {
            let public_url = public_url.map(str::to_owned);
            let settings = HttpSettings { public_url, tls, ..settings(true, &[]) };
            let found = is_over_tls(&from(peer, headers), &settings);
            assert_eq!(found, expected, "{peer} {headers:?} {tls}");
        }
    }

    #[test]
    fn j_the_authority_of_the_target_wins_over_the_header() {
        let ask = |uri: &str| {
            let request = TestRequest::default().uri(uri).append_header(("host", "other.example"));
            request_origin(&request.to_http_request(), &HttpSettings::default())
        };
        assert_eq!(ask("http://named.example:8080/Users"), "http://named.example:8080");
        assert_eq!(ask("/Users"), "http://other.example");
        assert!(
            !ask("http://other.example@evil.example/Users").contains("evil"),
            "no user is a host"
        );
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
