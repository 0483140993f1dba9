//! The services' routes as templates, so that metrics and spans have one name for each route, not
//! for each id. A test of the store compares them with the services' OpenAPI pages.

/// A method and a path with names in braces where ids stand.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Template {
    pub method: &'static str,
    pub route: &'static str,
}

const fn template(method: &'static str, route: &'static str) -> Template {
    Template { method, route }
}

/// The first match wins, so that a literal segment comes before a placeholder.
pub const TEMPLATES: [Template; 39] = [
    template("GET", "/.well-known/jwks.json"),
    template("GET", "/api/account"),
    template("GET", "/api/account/entries"),
    template("POST", "/api/account/top-ups"),
    template("POST", "/api/account/withdrawals"),
    template("GET", "/api/accounts/{user_id}"),
    template("GET", "/api/deliveries"),
    template("DELETE", "/api/deliveries/{order_id}/courier"),
    template("PUT", "/api/deliveries/{order_id}/courier"),
    template("POST", "/api/deliveries/{order_id}/outcome"),
    template("GET", "/api/goods"),
    template("GET", "/api/goods/{sku}"),
    template("PUT", "/api/goods/{sku}"),
    template("GET", "/api/goods/{sku}/movements"),
    template("POST", "/api/goods/{sku}/receipts"),
    template("GET", "/api/notifications"),
    template("GET", "/api/orders"),
    template("POST", "/api/orders"),
    template("GET", "/api/orders/{id}"),
    template("POST", "/api/orders/{id}/cancellation"),
    template("GET", "/api/orders/{id}/events"),
    template("POST", "/api/orders/{id}/stop"),
    template("POST", "/api/orders/{id}/verdict"),
    template("DELETE", "/api/sessions"),
    template("GET", "/api/sessions"),
    template("POST", "/api/sessions"),
    template("DELETE", "/api/sessions/current"),
    template("POST", "/api/sessions/refresh"),
    template("POST", "/api/users"),
    template("DELETE", "/api/users/me"),
    template("GET", "/api/users/me"),
    template("PATCH", "/api/users/me"),
    template("GET", "/api/users/{id}"),
    template("PUT", "/api/users/{id}/role"),
    template("PUT", "/api/users/{id}/status"),
    template("GET", "/api/zones"),
    template("PUT", "/api/zones/{zone}"),
    template("GET", "/api/zones/{zone}/slots"),
    template("POST", "/api/zones/{zone}/slots"),
];

/// The template of the gateway's own pages, and of paths without a route.
pub const OTHER: Template = template("other", "other");

/// The template of a request. A HEAD counts as the GET that it stands for.
pub fn of(method: &str, path: &str) -> Template {
    let method = if method == "HEAD" { "GET" } else { method };
    let found = TEMPLATES
        .iter()
        .find(|template| template.method == method && matches(template.route, path));
    found.copied().unwrap_or(OTHER)
}

/// The value of `Allow` for a path of the services; `None` if no service has it.
pub fn allowed(path: &str) -> Option<String> {
    let of_path = TEMPLATES
        .iter()
        .filter(|template| matches(template.route, path));
    // A literal segment goes before a name: they are two addresses.
    let route = of_path.clone().next()?.route;
    let mut methods: Vec<&str> = of_path
        .filter(|template| template.route == route)
        .map(|template| template.method)
        .collect();
    if methods.contains(&"GET") {
        methods.push("HEAD");
    }
    methods.push("OPTIONS");
    Some(methods.join(", "))
}

fn matches(route: &str, path: &str) -> bool {
    let (mut wanted, mut found) = (route.split('/'), path.split('/'));
    loop {
        match (wanted.next(), found.next()) {
            (None, None) => return true,
            (Some(name), Some(segment)) if name.starts_with('{') && !segment.is_empty() => {}
            (Some(literal), Some(segment)) if literal == segment => {}
            _ => return false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_has_the_template_of_its_route() {
        for (method, path, route) in [
            ("GET", "/api/orders", "/api/orders"),
            ("GET", "/api/orders/7", "/api/orders/{id}"),
            (
                "POST",
                "/api/orders/7/cancellation",
                "/api/orders/{id}/cancellation",
            ),
            ("GET", "/api/users/me", "/api/users/me"),
            ("HEAD", "/api/users/me", "/api/users/me"),
            ("GET", "/api/users/7", "/api/users/{id}"),
        ] {
            let counted = if method == "HEAD" { "GET" } else { method };
            assert_eq!(of(method, path), template_of(counted, route), "{path}");
        }
        for (method, path) in [
            ("GET", "/api/orders/"),
            ("GET", "/api/orders/7/8"),
            ("BREW", "/api/orders"),
            ("GET", "/api/docs/"),
        ] {
            assert_eq!(of(method, path), OTHER, "{method} {path}");
        }
    }

    #[test]
    fn a_path_has_the_methods_of_its_route() {
        for (path, methods) in [
            ("/api/orders", Some("GET, POST, HEAD, OPTIONS")),
            ("/api/orders/7/stop", Some("POST, OPTIONS")),
            ("/api/users/me", Some("DELETE, GET, PATCH, HEAD, OPTIONS")),
            ("/api/users/7", Some("GET, HEAD, OPTIONS")),
            ("/api/orders/7/8", None),
        ] {
            assert_eq!(allowed(path).as_deref(), methods, "{path}");
        }
    }

    fn template_of(method: &str, route: &str) -> Template {
        *TEMPLATES
            .iter()
            .find(|template| (template.method, template.route) == (method, route))
            .unwrap()
    }
}
