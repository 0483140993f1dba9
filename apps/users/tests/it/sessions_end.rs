use futures_util::future::join;
use reqwest::{Method, StatusCode};
use serde_json::json;

use crate::fixture::{Answer, Fixture, PASSWORD, bearer, refresh_token};

const ADA: &str = "ada@example.org";
const VOID: &str = "users.tokens_void.v1";

async fn change_password(users: &Fixture, token: &str, from: &str, to: &str) -> Answer {
    let body = json!({ "password": to, "current_password": from });
    users
        .send_as(token, Method::PATCH, "/api/users/me", Some(&body))
        .await
}

async fn me(users: &Fixture, session: &Answer) -> String {
    let me = users
        .send_as(&bearer(session), Method::GET, "/api/users/me", None)
        .await;
    me.code().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn another_password_ends_all_other_sessions() {
    let users = Fixture::new().await;
    users.register(ADA, PASSWORD).await;
    let (here, stolen) = (
        users.log_in(ADA, PASSWORD).await,
        users.log_in(ADA, PASSWORD).await,
    );
    let person = users.id_of(&bearer(&here)).await;
    let old_log_in = "UPDATE sessions SET authenticated_at = now() - interval '1 day'";
    users.sql().await.execute(old_log_in, &[]).await.unwrap();
    let wrong = change_password(&users, &bearer(&here), "a guess", "another password").await;
    assert_eq!(wrong.code(), "wrong_password");
    assert_eq!(
        me(&users, &stolen).await,
        "",
        "a wrong password changes nothing"
    );
    let changed = change_password(&users, &bearer(&here), PASSWORD, "another password").await;
    assert_eq!(changed.status, StatusCode::OK, "{:?}", changed.body);
    assert_eq!(users.told(VOID, &person).await, 1);
    for session in [&here, &stolen] {
        assert_eq!(me(&users, session).await, "token_outdated");
    }
    let ended = users.refresh(&refresh_token(&stolen)).await;
    assert_eq!(ended.code(), "refresh_token_invalid");
    // The one that changed it goes on, and its password was typed just now.
    let goes_on = users.refresh(&refresh_token(&here)).await;
    assert_eq!(me(&users, &goes_on).await, "");
    let again = change_password(&users, &bearer(&goes_on), PASSWORD, "another password").await;
    assert_eq!(
        again.status,
        StatusCode::OK,
        "a retry whose answer was lost"
    );
    assert_eq!(users.told(VOID, &person).await, 1);
    let left = users
        .send_as(&bearer(&goes_on), Method::DELETE, "/api/users/me", None)
        .await;
    assert_eq!(left.status, StatusCode::NO_CONTENT);
    users.stop().await;
}

/// A password is verified for a long time, and may be changed meanwhile.
#[tokio::test(flavor = "multi_thread")]
async fn a_log_in_with_the_password_before_leaves_no_session() {
    let users = Fixture::new().await;
    users.register(ADA, PASSWORD).await;
    users.register("bob@example.org", "another password").await;
    let mut sql = users.sql().await;
    let change = sql.transaction().await.unwrap();
    let to_bobs = "UPDATE users SET password_hash =
           (SELECT password_hash FROM users WHERE email = 'bob@example.org')
                   WHERE email = $1";
    change.execute(to_bobs, &[&ADA]).await.unwrap();
    let commit = async {
        // By now the log-in has verified its password, and waits for her row.
        let waits =
            "SELECT count(*) FROM pg_locks WHERE NOT granted AND locktype = 'transactionid'";
        while change.query_one(waits, &[]).await.unwrap().get::<_, i64>(0) == 0 {
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
        change.commit().await.unwrap();
    };
    let (late, ()) = join(users.log_in(ADA, PASSWORD), commit).await;
    assert_eq!(late.code(), "wrong_credentials", "{:?}", late.body);
    let left = users
        .sql()
        .await
        .query("SELECT id FROM sessions", &[])
        .await;
    assert_eq!(left.unwrap().len(), 0);
    users.log_in(ADA, "another password").await;
    users.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_out_ends_this_session_or_all_others() {
    let users = Fixture::new().await;
    users.register(ADA, PASSWORD).await;
    let (one, two) = (
        users.log_in(ADA, PASSWORD).await,
        users.log_in(ADA, PASSWORD).await,
    );
    let person = users.id_of(&bearer(&one)).await;
    for time in ["the first time", "once more changes nothing"] {
        let out = users
            .send_as(&bearer(&one), Method::DELETE, "/api/sessions/current", None)
            .await;
        assert_eq!(out.status, StatusCode::NO_CONTENT, "{time}");
        assert_eq!(users.told(VOID, &person).await, 1, "{time}");
    }
    assert_eq!(me(&users, &one).await, "token_outdated");
    assert_eq!(
        users.refresh(&refresh_token(&one)).await.code(),
        "refresh_token_invalid"
    );
    let two = users.refresh(&refresh_token(&two)).await;
    let three = users.log_in(ADA, PASSWORD).await;
    let elsewhere = async |session: &Answer| {
        users
            .send_as(&bearer(session), Method::DELETE, "/api/sessions", None)
            .await
            .status
    };
    assert_eq!(elsewhere(&two).await, StatusCode::NO_CONTENT);
    assert_eq!(users.told(VOID, &person).await, 2);
    assert_eq!(
        users.refresh(&refresh_token(&three)).await.code(),
        "refresh_token_invalid"
    );
    let two = users.refresh(&refresh_token(&two)).await;
    assert_eq!(me(&users, &two).await, "");
    assert_eq!(elsewhere(&two).await, StatusCode::NO_CONTENT);
    assert_eq!(users.told(VOID, &person).await, 2, "there was no other one");
    users.stop().await;
}
