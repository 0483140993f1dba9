use reqwest::{Method, StatusCode};
use serde_json::json;

use crate::fixture::{Fixture, PASSWORD, server};

/// As the official image makes its databases, as `initdb --locale=C` does, and by ICU.
const LOCALES: [&str; 3] = [
    "LOCALE_PROVIDER libc LC_COLLATE 'C' LC_CTYPE 'C.UTF-8'",
    "LOCALE_PROVIDER libc LOCALE 'C'",
    "LOCALE_PROVIDER icu ICU_LOCALE 'en-US' LOCALE 'C'",
];

#[tokio::test(flavor = "multi_thread")]
async fn spellings_of_an_address_are_one_account_in_every_locale() {
    let sql = server().await.connect("postgres").await.unwrap();
    // Maven's is built without it.
    let icu = sql
        .query_one(
            "SELECT count(*) > 0 FROM pg_collation WHERE collprovider = 'i'",
            &[],
        )
        .await;
    let has_icu: bool = icu.unwrap().get(0);
    for locale in LOCALES
        .into_iter()
        .filter(|locale| has_icu || !locale.contains("icu"))
    {
        let users = Fixture::with(locale, &[]).await;
        let first = users.register("ÄDA@Example.org", PASSWORD).await;
        assert_eq!(
            first.status,
            StatusCode::CREATED,
            "{locale}: {:?}",
            first.body
        );
        assert_eq!(first.body["email"], "äda@example.org");
        for spelling in [
            "äda@example.org",
            "A\u{308}DA@example.org",
            "ä\u{ff44}a@ＥＸＡＭＰＬＥ.org",
        ] {
            let again = users.register(spelling, PASSWORD).await;
            assert_eq!(
                (again.status, again.code()),
                (StatusCode::CONFLICT, "email_taken"),
                "{locale}: {spelling}"
            );
            users.token(spelling, PASSWORD).await;
        }
        let other = users.register("ada@example.org", PASSWORD).await;
        assert_eq!(
            other.status,
            StatusCode::CREATED,
            "{locale}: {:?}",
            other.body
        );
        for strange in [
            "İSTANBUL@example.org",
            "ΟΔΥΣΣΕΎΣ@example.org",
            "straße@example.org",
            "Ǆ@example.org",
            "ⴀ@example.org",
        ] {
            let answer = users.register(strange, PASSWORD).await;
            assert!(
                [201, 422].contains(&answer.status.as_u16()),
                "{locale}: {strange}: {:?}",
                answer.body
            );
        }
        users.stop().await;
    }
}

/// Addresses as the release before wrote them, in a database where Ä is no letter.
const BEFORE: &str = "INSERT INTO users (id, email, name, password_hash, role, registered_at)
    SELECT gen_random_uuid(), spelling, spelling, password_hash, 'customer',
                now() - age * interval '1 day'
    FROM users, (VALUES ('Äda@example.org', 3), ('äda@example.org', 2), ('bob@example.org', 1),
                              ('cÄd@example.org', 1),
      ('☺@example.org', 1)) AS old (spelling, age)
    WHERE role = 'manager'";

#[tokio::test(flavor = "multi_thread")]
async fn who_registered_before_addresses_were_prepared_gets_in_as_before() {
    let mut users = Fixture::with(LOCALES[1], &[]).await;
    users.sql().await.batch_execute(BEFORE).await.unwrap();
    // Before a replica has prepared them, and after.
    for _ in 0..2 {
        for (typed, found) in [
            ("äda@example.org", "äda@example.org"),
            ("ÄDA@example.org", "Äda@example.org"),
            ("Bob@Example.org", "bob@example.org"),
            ("CÄD@example.org", "cÄd@example.org"),
            ("☺@Example.org", "☺@example.org"),
        ] {
            let token = users.token(typed, PASSWORD).await;
            let me = users
                .send_as(&token, Method::GET, "/api/users/me", None)
                .await;
            assert_eq!(me.body["email"], found, "{typed}");
        }
        users.restart().await;
    }
    users.token("cäd@example.org", PASSWORD).await;
    for taken in ["ÄDA@example.org", "BOB@example.org", "cäd@example.org"] {
        assert_eq!(
            users.register(taken, PASSWORD).await.code(),
            "email_taken",
            "{taken}"
        );
    }
    let left = users
        .sql()
        .await
        .query("SELECT FROM users WHERE email_prepared IS NULL", &[])
        .await;
    assert_eq!(left.unwrap().len(), 0);
    users.stop().await;
}

/// Two replicas of different releases: the older one adds an address that the newer one has not
/// seen.
#[tokio::test(flavor = "multi_thread")]
async fn the_version_before_works_beside_this_one() {
    let mut users = Fixture::with(LOCALES[0], &[]).await;
    let before = "INSERT INTO users (id, email, name, password_hash, role)
        SELECT gen_random_uuid(), $1, 'x', password_hash, 'customer'
         FROM users WHERE role = 'manager'
        ON CONFLICT (email) DO NOTHING";
    let sql = users.sql().await;
    for (email, added) in [
        ("bob@example.org", 1),
        ("Äda@example.org", 1),
        ("bob@example.org", 0),
    ] {
        assert_eq!(
            sql.execute(before, &[&email]).await.unwrap(),
            added,
            "{email}"
        );
    }
    assert_eq!(
        users.register("Bob@example.org", PASSWORD).await.code(),
        "email_taken"
    );
    users.restart().await;
    assert_eq!(
        users.register("äda@example.org", PASSWORD).await.code(),
        "email_taken"
    );
    let new = users.register("Cid@example.org", PASSWORD).await;
    assert_eq!(new.status, StatusCode::CREATED);
    let found = sql
        .query("SELECT FROM users WHERE email = 'cid@example.org'", &[])
        .await
        .unwrap();
    assert_eq!(found.len(), 1, "the version before finds who is new");
    users.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_password_is_the_same_on_every_keyboard() {
    let users = Fixture::new().await;
    users
        .register("ada@example.org", "correct ho\u{308}rse")
        .await;
    for spelling in [
        "correct hörse",
        "correct\u{a0}hörse",
        "correct\u{2003}ho\u{308}rse",
    ] {
        users.token("ada@example.org", spelling).await;
    }
    assert_eq!(
        users
            .log_in("ada@example.org", "Correct hörse")
            .await
            .code(),
        "wrong_credentials"
    );
    let controlled = users.register("bob@example.org", "correct\u{7}horse").await;
    assert_eq!(controlled.code(), "invalid_password");
    users.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_password_that_was_hashed_as_it_was_typed_goes_on_working() {
    let users = Fixture::new().await;
    let typed = "correct\u{a0}ho\u{308}rse";
    users.register("ada@example.org", PASSWORD).await;
    let sql = users.sql().await;
    users.has_password("ada@example.org", typed).await;
    assert_eq!(
        users
            .log_in("ada@example.org", "correct hörse")
            .await
            .code(),
        "wrong_credentials"
    );
    users.token("ada@example.org", typed).await;
    // From then on it is the prepared one.
    users.token("ada@example.org", "correct hörse").await;
    users.token("ada@example.org", typed).await;
    let version = sql
        .query_one(
            "SELECT version FROM users WHERE email = 'ada@example.org'",
            &[],
        )
        .await
        .unwrap();
    assert_eq!(version.get::<_, i64>(0), 1, "what shows is as it was");
    users.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_that_shows_nothing_is_refused() {
    let users = Fixture::new().await;
    users.register("ada@example.org", PASSWORD).await;
    let token = users.token("ada@example.org", PASSWORD).await;
    let rename = async |name: &str| {
        let body = json!({ "name": name });
        users
            .send_as(&token, Method::PATCH, "/api/users/me", Some(&body))
            .await
    };
    for name in [
        "\u{200b}",
        "\u{301}",
        "\u{202e}\u{202c}",
        "\u{3164}",
        " \u{2800} ",
        "a\u{2028}b",
    ] {
        let refused = rename(name).await;
        assert_eq!(
            (refused.status, refused.code()),
            (StatusCode::UNPROCESSABLE_ENTITY, "invalid_name"),
            "{name:?}"
        );
    }
    for name in ["Zoë", "\u{202b}שלום", "👩\u{200d}👧"] {
        assert_eq!(rename(name).await.body["name"], name);
    }
    users.stop().await;
}

/// The default locale of `initdb` here is that of the image.
#[tokio::test(flavor = "multi_thread")]
async fn tests_run_where_every_letter_has_a_small_one() {
    let sql = server().await.connect("postgres").await.unwrap();
    let small = sql.query_one("SELECT lower('ÄDA')", &[]).await.unwrap();
    assert_eq!(small.get::<_, &str>(0), "äda");
}
