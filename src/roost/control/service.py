"""Control: all services of the control plane in one value.

Control validates what users ask for, writes it to the store and pokes the host's agent. It never
touches the host itself, and never waits for the agent except where a method says so.
"""

from __future__ import annotations

from roost.control.addresses import Addresses
from roost.control.apps import Apps
from roost.control.audit import Audit
from roost.control.authorities import Authorities
from roost.control.certificate_desk import CertificateDesk
from roost.control.certificate_upkeep import CertificateUpkeep
from roost.control.certificates import Certificates
from roost.control.context import Context
from roost.control.expiry import Expiry
from roost.control.grants import Grants
from roost.control.issuing import Issuing
from roost.control.key_file import ensure_key
from roost.control.machines import Machines
from roost.control.networks import Networks
from roost.control.numbers import Numbers
from roost.control.org_ending import OrgEnding
from roost.control.orgs import Orgs
from roost.control.reach import Reach
from roost.control.releases import Releases
from roost.control.replays import Replays
from roost.control.sealer import Sealer
from roost.control.secrets import Secrets
from roost.control.tokens import Tokens, write_token_file
from roost.model.ids import DEFAULT_NETWORK, PERSONAL_ORG


class Control:
    """The services, wired: `orgs`, `networks`, `apps`, `addresses`, `grants`, `secrets`,
    `machines`, `releases`, `tokens`, `audit`, `authorities`, `certificates`, `replays`; `expiry`
    and `certificate_upkeep` have to be run.
    """

    def __init__(self, context: Context) -> None:
        self.context = context
        numbers = Numbers(context.store)
        self.orgs = Orgs(context)
        self.networks = Networks(context, numbers, self.orgs)
        self.tokens = Tokens(context)
        self.audit = Audit(context)
        self.releases = Releases(context, numbers)
        sealer = Sealer(context)
        self.secrets = Secrets(context, numbers, sealer)
        self.authorities = Authorities(context, self.orgs, sealer)
        self.certificates = Certificates(context, sealer)
        self._wire_certificates(sealer)
        self.machines = Machines(context, numbers)
        self.addresses = Addresses(context, numbers, self.networks)
        self.grants = Grants(context, self.orgs, self.networks, self.addresses)
        self.apps = Apps(context, numbers, self.networks, self.machines)
        self.org_ending = OrgEnding(
            context,
            self.orgs,
            self.networks,
            self.apps,
            self.tokens,
            authorities=self.authorities,
        )
        self.expiry = Expiry(context, self.grants)
        self.replays = Replays(context, self.orgs)
        self.reach = Reach(context, self.networks)

    def _wire_certificates(self, sealer: Sealer) -> None:
        issuing = Issuing(self.context, self.orgs, self.authorities, sealer)
        self.certificate_desk = CertificateDesk(self.authorities, issuing, self.certificates)
        self.certificate_upkeep = CertificateUpkeep(
            self.context, self.authorities, issuing, self.certificates
        )

    async def first_start(self) -> str | None:
        """Make what every Roost has; repeated at each start, it completes what a crash left out.

        The personal organization with its default network, the key that seals secrets, and the
        admin token, which is also written to `home.token` (0600). When no operator token is valid
        any more, a new one is made: whoever can start Roost on a home is its operator. Returns
        the token's text when it was made now, else None. Raises UnavailableError when ROOST_HOME
        cannot be written.
        """
        ensure_key(self.context.home.secret_key, self.context.random)
        await self.orgs.ensure_personal()
        await self.networks.ensure(PERSONAL_ORG, DEFAULT_NETWORK)
        if self.tokens.any_operator():
            return None
        text = self.tokens.make_text()
        write_token_file(self.context.home.token, text)
        await self.tokens.keep("admin", text)
        return text
