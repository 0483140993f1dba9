use std::process::Command;

use backing::ServerKind;

/// A setting of its own needs a process of its own.
#[tokio::test]
async fn mavens_postgresql_works() {
    if ServerKind::detect().await.unwrap() == ServerKind::Docker {
        return;
    }
    let test = "servers_come_back_after_a_crash::postgresql_comes_back_with_what_was_committed";
    let mut myself = Command::new(std::env::current_exe().unwrap());
    myself
        .args(["--exact", test])
        .env("TOVAR_POSTGRES_BIN", "maven");
    let output = tokio::task::spawn_blocking(move || myself.output())
        .await
        .unwrap()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success() && said.contains("1 passed"),
        "{said}"
    );
}
