use reqwest::{Method, StatusCode};
use serde_json::json;

use crate::fixture::{Fixture, MANAGER, PASSWORD};

async fn number(users: &Fixture, sql: &str) -> i64 {
    users.sql().await.query_one(sql, &[]).await.unwrap().get(0)
}

const MANAGERS: &str = "SELECT count(*) FROM users WHERE role = 'manager'";

/// As after a restore, or a change in the database by hand.
async fn lose_all_managers(users: &Fixture) {
    let lose = "UPDATE users SET role = 'customer', email = id || '@gone.example',
                  email_prepared = id || '@gone.example'
                WHERE role = 'manager'";
    users.sql().await.batch_execute(lose).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_first_password_is_used_once() {
    let mut users = Fixture::new().await;
    users.token(MANAGER, PASSWORD).await;
    lose_all_managers(&users).await;
    users.restart().await;
    assert_eq!(number(&users, MANAGERS).await, 0, "the password was used");
    let refused = users.log_in(MANAGER, PASSWORD).await;
    assert_eq!(refused.status, StatusCode::UNAUTHORIZED);

    // The way to a new manager: another password in the settings.
    users
        .set("--first-manager-password=one that nobody has seen")
        .await;
    users.token(MANAGER, "one that nobody has seen").await;
    lose_all_managers(&users).await;
    for used in [PASSWORD, "one that nobody has seen"] {
        users.set(&format!("--first-manager-password={used}")).await;
        assert_eq!(number(&users, MANAGERS).await, 0, "{used}");
    }
    users.stop().await;
}

/// The password is in the settings of a store that has a manager already, also after an update from
/// the release before.
#[tokio::test(flavor = "multi_thread")]
async fn a_first_password_that_was_seen_beside_a_manager_is_used_up() {
    let mut users = Fixture::new().await;
    let forget = "DELETE FROM first_passwords";
    users.sql().await.batch_execute(forget).await.unwrap();
    users.restart().await;
    lose_all_managers(&users).await;
    users.restart().await;
    assert_eq!(number(&users, MANAGERS).await, 0);
    users.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_first_password_must_be_one_that_a_person_may_choose() {
    let mut users = Fixture::new().await;
    lose_all_managers(&users).await;
    for (wrong, why) in [
        ("short", "8 to 128 characters"),
        ("password1", "one of the commonest"),
        (MANAGER, "one of the commonest, or your address"),
    ] {
        let refused = users
            .try_set(&format!("--first-manager-password={wrong}"))
            .await;
        let said = format!("{:#}", refused.unwrap_err());
        assert!(
            said.contains("FIRST_MANAGER_PASSWORD") && said.contains(why),
            "{wrong}: {said}"
        );
        assert!(!said.contains(&format!("{wrong:?}")), "{said}");
    }
    users.set("--first-manager-password=a fair password").await;
    users.token(MANAGER, "a fair password").await;
    users.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn passwords_that_everybody_guesses_are_refused_when_they_are_set_and_not_when_they_are_used()
{
    let users = Fixture::new().await;
    let ada = "ada.lovelace@example.org";
    let refusals = ["password", "12345678", "Iloveyou1", ada, "Ada.Lovelace"];
    let refused = (StatusCode::UNPROCESSABLE_ENTITY, "password_too_common");
    for common in refusals {
        let answer = users.register(ada, common).await;
        assert_eq!((answer.status, answer.code()), refused, "{common}");
    }
    assert_eq!(
        users.register(ada, PASSWORD).await.status,
        StatusCode::CREATED
    );
    let token = users.token(ada, PASSWORD).await;
    let change = async |body| {
        let answer = users
            .send_as(&token, Method::PATCH, "/api/users/me", Some(&body))
            .await;
        (answer.status, answer.code().to_owned())
    };
    for common in refusals {
        let told = change(json!({ "password": common, "current_password": PASSWORD })).await;
        assert_eq!(told, (refused.0, refused.1.to_owned()), "{common}");
    }
    // The new name counts.
    let own = json!({
        "name": "Countess of Lovelace",
        "password": "countess of lovelace",
        "current_password": PASSWORD,
    });
    assert_eq!(change(own).await, (refused.0, refused.1.to_owned()));

    // A user with an old common password still gets in, also with it as the current password.
    users.has_password(ada, "password").await;
    users.token(ada, "password").await;
    let body = json!({ "password": "a better password", "current_password": "password" });
    assert_eq!(change(body).await.0, StatusCode::OK);
    users.stop().await;
}
