use std::{collections::HashSet, time::Duration};

use connect::PostgresSettings;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    time::Instant,
};

use crate::store::Store;

/// The address of the same database through a slow proxy.
pub async fn over_a_slow_line(url: &str) -> String {
    let port = url.parse::<tokio_postgres::Config>().unwrap().get_ports()[0];
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let slow = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        loop {
            let (from, _) = listener.accept().await.unwrap();
            let to = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
            let ((from_read, from_write), (to_read, to_write)) =
                (from.into_split(), to.into_split());
            tokio::spawn(slowly(from_read, to_write));
            tokio::spawn(slowly(to_read, from_write));
        }
    });
    url.replace(&format!(":{port}/"), &format!(":{slow}/"))
}

async fn slowly(mut from: OwnedReadHalf, mut to: OwnedWriteHalf) {
    let mut bytes = vec![0; 1 << 20];
    while let Ok(read @ 1..) = from.read(&mut bytes).await {
        tokio::time::sleep(Duration::from_millis(40)).await;
        if to.write_all(&bytes[..read]).await.is_err() {
            return;
        }
    }
}

/// Saves are slow also when an old snapshot keeps all versions of the cursor's row: then each save
/// makes the next one slower.
#[tokio::test(flavor = "multi_thread")]
async fn a_relay_whose_saves_take_long_saves_less_often() {
    let store = Store::new().await;
    let mut settings = store.settings();
    settings.postgres = PostgresSettings::new(over_a_slow_line(&store.relay_url).await);
    let _relay = outbox_relay::start(settings).await.unwrap();
    let first = store.publish("key", "").await;
    store.topic().until_has([first]).await;
    let (began, mut saves) = (Instant::now(), HashSet::new());
    while began.elapsed() < Duration::from_secs(8) {
        store.publish("key", "").await;
        saves.insert(
            store
                .number(
                    "SELECT (extract(epoch FROM saved_at) * 1000000)::bigint FROM outbox_cursor",
                )
                .await,
        );
    }
    println!("saved {} times", saves.len());
    assert!(
        (2..=8).contains(&saves.len()),
        "saved {} times in 8 s",
        saves.len()
    );
}
