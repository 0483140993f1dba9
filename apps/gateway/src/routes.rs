//! Which path belongs to which service.

use std::fmt;

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Service {
    Users,
    Billing,
    Orders,
    Warehouse,
    Delivery,
    Notifications,
}

impl Service {
    pub const ALL: [Self; 6] = [
        Self::Users,
        Self::Billing,
        Self::Orders,
        Self::Warehouse,
        Self::Delivery,
        Self::Notifications,
    ];

    pub const fn name(self) -> &'static str {
        match self {
            Self::Users => "users",
            Self::Billing => "billing",
            Self::Orders => "orders",
            Self::Warehouse => "warehouse",
            Self::Delivery => "delivery",
            Self::Notifications => "notifications",
        }
    }
}

impl fmt::Display for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The destination of a path.
#[derive(PartialEq, Eq, Debug)]
pub enum Route<'p> {
    /// A service answers, under this path of its own.
    To(Service, std::borrow::Cow<'p, str>),
    /// The gateway's own page with the list of API pages.
    DocsIndex,
    /// The gateway's own page that explains every problem's code.
    Problems,
    /// A page's relative links only work with a slash at the end.
    Redirect(String),
    /// `*`: the server as a whole, for OPTIONS only.
    Server,
    Unknown,
}

/// The first segments of paths, and the services that they belong to.
const OWNERS: [(&str, Service); 9] = [
    ("/api/users", Service::Users),
    ("/api/sessions", Service::Users),
    ("/api/account", Service::Billing),
    ("/api/accounts", Service::Billing),
    ("/api/orders", Service::Orders),
    ("/api/goods", Service::Warehouse),
    ("/api/zones", Service::Delivery),
    ("/api/deliveries", Service::Delivery),
    ("/api/notifications", Service::Notifications),
];

pub fn route(path: &str) -> Route<'_> {
    if path == "/.well-known/jwks.json" {
        return Route::To(Service::Users, path.into());
    }
    if path == "*" {
        return Route::Server;
    }
    match path.strip_prefix("/api/docs") {
        Some("") => return Route::Redirect("/api/docs/".to_owned()),
        Some("/") => return Route::DocsIndex,
        Some("/problems") => return Route::Problems,
        Some(rest) if rest.starts_with('/') => return docs_of(&rest[1..]),
        _ => {}
    }
    let owner = OWNERS.iter().find(|(prefix, _)| {
        path.strip_prefix(prefix)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    });
    owner.map_or(Route::Unknown, |(_, service)| {
        Route::To(*service, path.into())
    })
}

fn docs_of(rest: &str) -> Route<'static> {
    let (name, page) = rest
        .split_once('/')
        .map_or((rest, None), |(name, page)| (name, Some(page)));
    let Some(service) = Service::ALL
        .into_iter()
        .find(|service| service.name() == name)
    else {
        return Route::Unknown;
    };
    match page {
        None => Route::Redirect(format!("/api/docs/{name}/")),
        Some(page) => Route::To(service, format!("/docs/{page}").into()),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn a_path_goes_to_its_owner_unchanged() {
        assert_eq!(
            route("/api/users/me"),
            Route::To(Service::Users, "/api/users/me".into())
        );
        assert_eq!(
            route("/api/account"),
            Route::To(Service::Billing, "/api/account".into())
        );
        assert_eq!(
            route("/api/accounts/7"),
            Route::To(Service::Billing, "/api/accounts/7".into())
        );
        assert_eq!(
            route("/api/deliveries/7/outcome"),
            Route::To(Service::Delivery, "/api/deliveries/7/outcome".into())
        );
    }

    /// Where the Gateway API or an Ingress takes the gateway's place.
    #[test]
    fn the_charts_lead_where_the_gateway_leads() {
        let chart = include_str!("../../../helm/gateway/routes.yaml");
        let lines = chart.lines().filter(|line| line.starts_with('/'));
        let led: BTreeSet<_> = lines.filter_map(|line| line.split_once(": ")).collect();
        let mut owned: BTreeSet<_> = OWNERS.map(|(path, owner)| (path, owner.name())).into();
        owned.insert(("/.well-known/jwks.json", Service::Users.name()));
        assert_eq!(led, owned);
    }

    #[test]
    fn what_only_looks_like_an_owners_path_is_unknown() {
        for path in [
            "/",
            "/api",
            "/api/usersx",
            "/apiusers",
            "/metrics",
            "/health/live",
            "/api/docs/nobody/",
        ] {
            assert_eq!(route(path), Route::Unknown, "{path}");
        }
    }

    #[test]
    fn docs_lead_to_each_services_page() {
        assert_eq!(
            route("/api/docs/orders/"),
            Route::To(Service::Orders, "/docs/".into())
        );
        assert_eq!(
            route("/api/docs/orders/openapi.json"),
            Route::To(Service::Orders, "/docs/openapi.json".into())
        );
        assert_eq!(
            route("/api/docs/orders"),
            Route::Redirect("/api/docs/orders/".to_owned())
        );
        assert_eq!(route("/api/docs/"), Route::DocsIndex);
        assert_eq!(route("/api/docs/problems"), Route::Problems);
    }
}
