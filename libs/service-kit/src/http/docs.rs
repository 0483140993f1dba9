use actix_web::{Handler, HttpResponse, Responder, guard, http::header, web, web::ServiceConfig};
use utoipa::openapi::{
    Content, OpenApi, Ref, RefOr, Required,
    path::{Operation, ParameterBuilder, ParameterIn, PathItem},
    response::ResponseBuilder,
    schema::{ObjectBuilder, Type},
    security::{HttpAuthScheme, HttpBuilder, SecurityScheme},
};

use super::problem::{COMMON_PROBLEMS, Problem, ProblemDoc};

/// Completes a service's API page by what all operations have in common: how callers prove who they
/// are, the Idempotency-Key, and the shape of each answer that is no success.
pub fn openapi(mut api: OpenApi, service: &str, about: &str, problems: &[ProblemDoc]) -> OpenApi {
    service.clone_into(&mut api.info.title);
    env!("CARGO_PKG_VERSION").clone_into(&mut api.info.version);
    api.info.description = Some(format!("{about}\n\n{}", describe_problems(problems)));
    let components = api.components.get_or_insert_default();
    let bearer = HttpBuilder::new()
        .scheme(HttpAuthScheme::Bearer)
        .bearer_format("JWT")
        .build();
    components
        .security_schemes
        .insert("token".to_owned(), SecurityScheme::Http(bearer));
    let problem = <Problem as utoipa::PartialSchema>::schema();
    components.schemas.insert("Problem".to_owned(), problem);
    for (path, item) in &mut api.paths.paths {
        complete(path, item);
    }
    api
}

fn complete(path: &str, item: &mut PathItem) {
    // A request that changes a session may be sent again without harm.
    let is_keyed = !path.starts_with("/api/sessions");
    if let Some(post) = item.post.as_mut().filter(|_| is_keyed) {
        let key = ParameterBuilder::new()
            .name("Idempotency-Key")
            .parameter_in(ParameterIn::Header)
            .required(Required::True)
            .description(Some(
                "A new key for each intent, the same one for each retry of it.",
            ))
            .schema(Some(
                ObjectBuilder::new()
                    .schema_type(Type::String)
                    .min_length(Some(1))
                    .max_length(Some(255)),
            ))
            .build();
        post.parameters.get_or_insert_default().push(key);
    }
    let operations: [&mut Option<Operation>; 5] = [
        &mut item.get,
        &mut item.put,
        &mut item.post,
        &mut item.patch,
        &mut item.delete,
    ];
    for operation in operations.into_iter().flatten() {
        let problem = ResponseBuilder::new()
            .description("A problem; its code says which")
            .content(
                "application/problem+json",
                Content::new(Some(Ref::from_schema_name("Problem"))),
            )
            .build();
        operation
            .responses
            .responses
            .insert("default".to_owned(), RefOr::T(problem));
    }
}

fn describe_problems(own: &[ProblemDoc]) -> String {
    let mut text =
        "Answers that are no success are `application/problem+json` with one of these codes:\n\n\
                    | code | status | meaning |\n|---|---|---|\n"
            .to_owned();
    for problem in own.iter().chain(COMMON_PROBLEMS) {
        text += &format!(
            "| `{}` | {} | {} |\n",
            problem.code, problem.status, problem.meaning
        );
    }
    text
}

/// `/openapi.json`, and `/docs/` as the page that shows it.
pub fn routes(config: &mut ServiceConfig, api: &OpenApi, problems: &'static [ProblemDoc]) {
    let json = web::Bytes::from(api.to_json().expect("an API page is always JSON"));
    for path in OPENAPI {
        let json = json.clone();
        get(config, path, move || {
            let json = json.clone();
            async move {
                HttpResponse::Ok()
                    .content_type("application/json")
                    .body(json)
            }
        });
    }
    get(config, PROBLEMS, move || async move {
        HttpResponse::Ok().json(problems.iter().chain(COMMON_PROBLEMS).collect::<Vec<_>>())
    });
    for (path, content_type, content) in FILES {
        get(config, path, move || async move {
            HttpResponse::Ok()
                .content_type(content_type)
                .insert_header(header::ContentEncoding::Gzip)
                .body(content)
        });
    }
    get(config, SCRIPT, async || {
        HttpResponse::Ok()
            .content_type("text/javascript; charset=utf-8")
            .body(include_str!("docs.js"))
    });
    get(config, DOCS, async || {
        HttpResponse::Ok()
            .content_type("text/html; charset=utf-8")
            .insert_header((header::CONTENT_SECURITY_POLICY, POLICY))
            .body(PAGE)
    });
}

/// The addresses of these pages.
pub fn paths() -> impl Iterator<Item = String> {
    let files = FILES.iter().map(|(path, ..)| *path);
    let all = OPENAPI
        .into_iter()
        .chain([PROBLEMS, SCRIPT, DOCS])
        .chain(files);
    all.map(ToOwned::to_owned)
}

/// Adds a route as actix's macros do, so that other methods get the same answer as elsewhere.
fn get<F, Args>(config: &mut ServiceConfig, path: &str, handler: F)
where
    F: Handler<Args>,
    Args: actix_web::FromRequest + 'static,
    F::Output: Responder + 'static,
{
    config.service(web::resource(path).guard(guard::Get()).to(handler));
}

const OPENAPI: [&str; 2] = ["/openapi.json", "/docs/openapi.json"];
const PROBLEMS: &str = "/problems.json";
const DOCS: &str = "/docs/";
const SCRIPT: &str = "/docs/docs.js";
/// The page runs the service's own scripts only, and sends requests to the store only. Swagger UI
/// has inline styles and small pictures.
const POLICY: &str = "default-src 'none'; script-src 'self'; connect-src 'self'; \
                      style-src 'self' 'unsafe-inline'; img-src 'self' data:; \
                      font-src 'self' data:; base-uri 'none'; form-action 'none'; \
                      frame-ancestors 'none'";

/// Swagger UI, unpacked by the build.
const FILES: [(&str, &str, &[u8]); 2] = [
    (
        "/docs/swagger-ui.css",
        "text/css; charset=utf-8",
        include_bytes!(concat!(env!("OUT_DIR"), "/swagger-ui.css.gz")),
    ),
    (
        "/docs/swagger-ui-bundle.js",
        "text/javascript; charset=utf-8",
        include_bytes!(concat!(env!("OUT_DIR"), "/swagger-ui-bundle.js.gz")),
    ),
];

/// All addresses are relative, so that the page also works behind the gateway under another path.
const PAGE: &str = include_str!("docs.html");
