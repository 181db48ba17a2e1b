//! Networks from which a token may be used, and in which proxies are.

use std::net::IpAddr;

use ipnet::{IpNet, Ipv4Net};

use crate::error::{AdminError, Field, Rule};

/// Bits of an IPv6 address before the IPv4 address that it contains.
const MAPPED: u8 = 96;

/// Reads networks in CIDR notation; one address is a network of one.
///
/// # Errors
///
/// [`Rule::NotANetwork`], [`Rule::WithinNetwork`].
pub fn networks<'n>(texts: impl IntoIterator<Item = &'n str>) -> Result<Vec<IpNet>, AdminError> {
    texts.into_iter().map(network).collect()
}

fn network(text: &str) -> Result<IpNet, AdminError> {
    let net = text
        .parse()
        .or_else(|_| text.parse::<IpAddr>().map(IpNet::from))
        .map_err(|_bad| Field::Networks.breaks(Rule::NotANetwork(text.to_owned())))?;
    let net = canonical(net);
    if net.trunc() != net {
        // Either the address or the length is a mistake, and one reading admits far more clients.
        let (within, meant) = (net.trunc(), IpNet::from(net.addr()));
        return Err(Field::Networks.breaks(Rule::WithinNetwork { within, meant }));
    }
    Ok(net)
}

/// Returns a network of IPv6 that contains nothing but IPv4 addresses as the network of these: clients are compared
/// as IPv4, too.
pub fn canonical(net: IpNet) -> IpNet {
    let IpNet::V6(mapped) = net else { return net };
    let bits = mapped.prefix_len().checked_sub(MAPPED);
    match (mapped.addr().to_canonical(), bits) {
        (IpAddr::V4(address), Some(bits)) => Ipv4Net::new(address, bits).map_or(net, IpNet::V4),
        _ => net,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn s5_g_a_network_of_mapped_addresses_is_one_of_ipv4() {
        for (text, expected) in [
            ("127.0.0.1", "127.0.0.1/32"),
            ("::ffff:127.0.0.1", "127.0.0.1/32"),
            ("::ffff:10.0.0.0/104", "10.0.0.0/8"),
            ("::ffff:0:0/96", "0.0.0.0/0"),
            ("0.0.0.0/0", "0.0.0.0/0"),
            ("::/0", "::/0"),
            ("2001:db8::/32", "2001:db8::/32"),
            ("::1", "::1/128"),
        ] {
            let net = networks([text]).unwrap();
            assert_eq!(net, [expected.parse::<IpNet>().unwrap()], "{text}");
        }
    }

    #[test]
    fn s5_g_an_address_within_a_network_is_no_network() {
        for (text, within, meant) in [
            ("127.0.0.1/0", "0.0.0.0/0", "127.0.0.1/32"),
            ("203.0.113.7/24", "203.0.113.0/24", "203.0.113.7/32"),
            ("2001:db8::1/32", "2001:db8::/32", "2001:db8::1/128"),
            ("::ffff:127.0.0.1/96", "0.0.0.0/0", "127.0.0.1/32"),
        ] {
            let told = networks([text]).unwrap_err().to_string();
            assert!(told.contains(within) && told.contains(meant), "{text}: {told}");
        }
        assert!(networks(["here"]).is_err() && networks([""]).is_err());
    }
}
