//! Blocks of addresses.

use std::net::{IpAddr, Ipv6Addr};

/// The addresses that one party has: a whole IPv4 address, a /64 of IPv6.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct AddressBlock(IpAddr);

impl AddressBlock {
    /// Returns the block of an address; all unknown ones share a block.
    pub fn of(address: Option<IpAddr>) -> Self {
        let block = match address.map(|address| address.to_canonical()) {
            Some(IpAddr::V6(address)) => {
                IpAddr::V6(Ipv6Addr::from(u128::from(address) >> 64 << 64))
            }
            Some(address) => address,
            None => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
        };
        Self(block)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lim_12_ipv6_neighbours_count_as_one() {
        let block = |text: &str| AddressBlock::of(Some(text.parse().unwrap()));
        assert_eq!(block("2001:db8::1"), block("2001:db8::ffff"));
        assert_ne!(block("2001:db8::1"), block("2001:db8:0:1::1"));
        assert_ne!(block("10.0.0.1"), block("10.0.0.2"));
        assert_eq!(block("::ffff:10.0.0.1"), block("10.0.0.1"));
    }
}
