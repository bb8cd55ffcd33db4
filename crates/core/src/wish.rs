//! Which Machines a call would have: one by its id, those of some regions, the others.

use roost_wire::{Machine, Name};

use crate::regions;

/// A call's preferences. They are tried in the order of the fields; [`Wish::default`] takes any Machine.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Wish {
    /// This Machine first.
    pub instance: Option<Name>,
    /// Then one of these regions (or an alias such as `eu`), the best first.
    pub regions: Vec<Name>,
    /// No other Machine than these.
    pub strict: bool,
}

/// One step of a wish.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step<'w> {
    Instance(&'w str),
    Region(&'w str),
    Any,
}

impl Wish {
    /// Whether nothing but one Machine will do.
    pub fn only(&self) -> Option<&Name> {
        self.instance
            .as_ref()
            .filter(|_| self.strict && self.regions.is_empty())
    }

    /// Whether a Machine could be taken at all.
    pub(crate) fn allows(&self, machine: &Machine) -> bool {
        self.steps().any(|step| step.takes(machine))
    }

    fn steps(&self) -> impl Iterator<Item = Step<'_>> {
        let instance = self.instance.as_deref().map(Step::Instance);
        let regions = self.regions.iter().map(|region| Step::Region(region));
        let any = (!self.strict).then_some(Step::Any);
        instance.into_iter().chain(regions).chain(any)
    }
}

/// The steps of a call's wish, or of one that has none.
pub(crate) fn steps(wish: Option<&Wish>) -> impl Iterator<Item = Step<'_>> {
    let any = wish.is_none().then_some(Step::Any);
    wish.into_iter().flat_map(Wish::steps).chain(any)
}

impl Step<'_> {
    pub(crate) fn takes(self, machine: &Machine) -> bool {
        match self {
            Self::Instance(id) => *machine.id == *id,
            Self::Region(wanted) => regions::is_in(&machine.region, wanted),
            Self::Any => true,
        }
    }
}
