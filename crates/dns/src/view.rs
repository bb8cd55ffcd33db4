//! What the zones need to know of one private network: the lookups, not the storage.

use std::net::Ipv6Addr;

/// One private network as its Machines see it by name.
///
/// The view is of the caller's network alone, so that a name of another network cannot be answered
/// by mistake. All names come in lower case.
pub trait NetworkView {
    /// How a Machine is seen.
    type Machine<'a>: MachineView
    where
        Self: 'a;

    /// The network's /48 (only the first 48 bits are read).
    fn prefix(&self) -> Ipv6Addr;

    /// How far `region` is from the caller, in any unit; 0 is its own region.
    fn distance(&self, region: &str) -> u32;

    /// The Machines of an app on this network, in every state; `None` when there is no such app here.
    fn machines(&self, app: &str) -> Option<impl Iterator<Item = Self::Machine<'_>>>;

    /// The started Machines of an app on this network; its sleeping ones should cost nothing here.
    fn started(&self, app: &str) -> impl Iterator<Item = Self::Machine<'_>>;

    /// The started Machines of all apps on this network, likewise.
    fn all_started(&self) -> impl Iterator<Item = Self::Machine<'_>>;

    /// One Machine on this network by its id.
    fn machine(&self, id: &str) -> Option<Self::Machine<'_>>;

    /// The text of the key that signs `Fly-Src`, if there is one.
    fn source_key(&self) -> Option<String>;

    /// The apps on this network.
    fn apps(&self) -> impl Iterator<Item = &str>;

    /// The Flycast addresses which an app, of whichever network, has on this network.
    fn flycast(&self, app: &str) -> impl Iterator<Item = Ipv6Addr>;

    /// Who has an address of this network.
    fn owner(&self, address: Ipv6Addr) -> Option<Owner<'_, Self::Machine<'_>>>;
}

/// Who has an address.
#[derive(Debug, Clone, Copy)]
pub enum Owner<'a, M> {
    /// It is a Machine's 6PN address.
    Machine(M),
    /// It is a Flycast address of the app of this name.
    Flycast(&'a str),
}

/// One Machine as DNS sees it.
pub trait MachineView {
    /// Its id.
    fn id(&self) -> &str;
    /// Its app's name.
    fn app(&self) -> &str;
    /// Its region's code.
    fn region(&self) -> &str;
    /// Its process group.
    fn group(&self) -> &str;
    /// Its 6PN address.
    fn address(&self) -> Ipv6Addr;
    /// Whether its state is `started`.
    fn started(&self) -> bool;
    /// Whether it takes part in DNS at all (`dns.skip_registration` is not set).
    fn listed(&self) -> bool;
    /// Its metadata, key and value.
    fn metadata(&self) -> impl Iterator<Item = (&str, &str)>;
}
