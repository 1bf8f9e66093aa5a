//! Those who call the API as nobody should: with words that are not nginx's, or are late, or come twice; or who leave
//! in the middle of a request.

use std::net::SocketAddr;
use std::time::Duration;

use diesel_async::RunQueryDsl;
use futures_util::future::join_all;
use rustix::net::sockopt::set_socket_linger;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::time::sleep;

use super::world::{Number, World};

/// How many files each process of a site may have open that is to run out of them.
pub(super) const FILES: u32 = 300;

impl World {
    /// The connection at nginx that a channel's stream comes over, as the API knows it.
    pub(super) async fn publishing_over(&self, place: usize) -> i64 {
        let loc = &self.stages[place].channel.loc;
        let select = format!(
            "SELECT connection AS number FROM streams WHERE loc = '{loc}' ORDER BY started_at DESC LIMIT 1"
        );
        let query = diesel::sql_query(select);
        query.get_result::<Number>(&mut self.connection().await).await.expect("a stream").number
    }

    /// Says something to the internal door as if nginx did; what is answered.
    pub(super) async fn said_to_the_door(
        &self,
        path: &str,
        place: usize,
        connection: i64,
        more: &str,
    ) -> u16 {
        let key = &self.stages[place].channel.key;
        let form = format!("app=live&clientid={connection}&call=x&name={key}{more}");
        self.post(path, form, Some(self.site.internal_secret())).await
    }

    async fn post(&self, path: &str, form: String, secret: Option<String>) -> u16 {
        let request = self.site.client.post(self.site.internal(&format!("/rtmp/{path}")));
        let request =
            request.header("x-tally-node", "local").header("x-tally-secret", secret.unwrap_or_default());
        let redirected = request.body(form).send().await;
        redirected.map_or_else(|error| error.status().map_or(0, |it| it.as_u16()), |it| it.status().as_u16())
    }

    /// What is repeated, late, of nobody or forged changes nothing for who is on the air.
    pub(super) async fn strays_come(&self, place: usize, old: i64) {
        let now = self.publishing_over(place).await;
        assert_ne!(old, now, "it has come back over another connection");
        for _ in 0..2 {
            assert_eq!(self.said_to_the_door("publish-done", place, old, "").await, 204, "an old one's end");
            assert_eq!(self.said_to_the_door("publish-done", place, now + 1000, "").await, 204);
        }
        let update = "&call=update_publish&timestamp=77";
        let form =
            format!("app=live&clientid={}&name={}{update}", now + 1000, self.stages[place].channel.key);
        assert_eq!(self.post("update", form.clone(), Some(self.site.internal_secret())).await, 403);
        assert_eq!(self.post("publish", form.clone(), Some(self.site.internal_secret())).await, 403, "busy");
        for path in ["publish", "publish-done", "update", "play", "play-done"] {
            assert_eq!(self.post(path, form.clone(), None).await, 403, "without the secret");
            let garbage = "&&%%=;clientid=\u{0}".to_owned();
            assert!(self.post(path, garbage, Some(self.site.internal_secret())).await < 500);
        }
        assert_eq!(self.publishing_over(place).await, now);
    }

    /// Requests whose senders are gone before the answer.
    pub(super) async fn break_off(&self, many: u64) {
        let api: SocketAddr = self.site.listen().parse().expect("an address");
        let token = self.streamer.token.clone().expect("a token");
        let id = &self.stages[0].channel.id;
        let body = format!(
            "{{\"query\": \"mutation {{ updateChannel(input: {{id: \\\"{id}\\\", name: \\\"Again\\\"}}) \
             {{ channel {{ name owner {{ handle }} }} }} }}\"}}"
        );
        let request = format!(
            "POST /graphql HTTP/1.1\r\nHost: {api}\r\nContent-Type: application/json\r\n\
             Authorization: Bearer {token}\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        let one = async |number: u64| {
            let Ok(mut stream) = TcpStream::connect(api).await else { return };
            let _ = stream.write_all(request.as_bytes()).await;
            sleep(Duration::from_micros(number * 37 % 9000)).await;
            // The connection is reset, not closed.
            let _ = set_socket_linger(&stream, Some(Duration::ZERO));
        };
        for start in (0..many).step_by(50) {
            join_all((start..start + 50).map(one)).await;
        }
    }
}
