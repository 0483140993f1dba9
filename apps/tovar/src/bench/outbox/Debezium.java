// Debezium's embedded engine with its outbox event router, and a Kafka producer behind it: a peer of the relay for
// `cargo tovar bench outbox`. Arguments: host, port, user, database, brokers, topic prefix, folder; the password
// is in PGPASSWORD, as each user of the machine may read arguments.

import io.debezium.embedded.Connect;
import io.debezium.engine.DebeziumEngine;
import io.debezium.engine.RecordChangeEvent;
import io.debezium.engine.format.ChangeEventFormat;
import java.nio.charset.StandardCharsets;
import java.util.List;
import java.util.Properties;
import java.util.concurrent.atomic.AtomicReference;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.serialization.StringSerializer;
import org.apache.kafka.connect.header.Header;
import org.apache.kafka.connect.source.SourceRecord;

public class Debezium {
  public static void main(String[] given) throws Exception {
    Properties producing = new Properties();
    producing.put("bootstrap.servers", given[4]);
    producing.put("acks", "all");
    producing.put("enable.idempotence", "true");
    producing.put("compression.type", "lz4");
    producing.put("linger.ms", "5");
    producing.put("batch.size", "262144");
    producing.put("buffer.memory", "67108864");
    KafkaProducer<String, String> producer =
        new KafkaProducer<>(producing, new StringSerializer(), new StringSerializer());

    Properties engine = new Properties();
    engine.put("name", given[3]);
    engine.put("connector.class", "io.debezium.connector.postgresql.PostgresConnector");
    engine.put("database.hostname", given[0]);
    engine.put("database.port", given[1]);
    engine.put("database.user", given[2]);
    engine.put("database.password", System.getenv("PGPASSWORD"));
    engine.put("database.dbname", given[3]);
    engine.put("topic.prefix", "bench");
    engine.put("plugin.name", "pgoutput");
    engine.put("slot.name", given[3]);
    engine.put("publication.name", "bench");
    engine.put("publication.autocreate.mode", "disabled");
    engine.put("snapshot.mode", "no_data");
    engine.put("table.include.list", "public.outbox");
    engine.put("tombstones.on.delete", "false");
    engine.put("offset.storage", "org.apache.kafka.connect.storage.FileOffsetBackingStore");
    engine.put("offset.storage.file.filename", given[6] + "/offsets");
    engine.put("offset.flush.interval.ms", "1000");
    engine.put("max.batch.size", "16384");
    engine.put("max.queue.size", "65536");
    engine.put("poll.interval.ms", "10");
    engine.put("transforms", "outbox");
    engine.put("transforms.outbox.type", "io.debezium.transforms.outbox.EventRouter");
    engine.put("transforms.outbox.table.field.event.id", "id");
    engine.put("transforms.outbox.table.field.event.key", "key");
    engine.put("transforms.outbox.table.field.event.payload", "payload");
    engine.put("transforms.outbox.route.by.field", "topic");
    engine.put("transforms.outbox.route.topic.replacement", given[5] + "${routedByValue}");
    engine.put("transforms.outbox.table.fields.additional.placement", "type:header:ce_type");

    AtomicReference<Exception> refused = new AtomicReference<>();
    DebeziumEngine<RecordChangeEvent<SourceRecord>> running =
        DebeziumEngine.create(ChangeEventFormat.of(Connect.class))
            .using(engine)
            .using(
                (success, message, error) -> {
                  if (!success) {
                    System.err.println(message);
                    if (error != null) error.printStackTrace();
                    System.exit(1);
                  }
                })
            .notifying(
                (records, committer) -> {
                  send(producer, records, refused);
                  // A record counts as done once Kafka has it.
                  producer.flush();
                  if (refused.get() != null) throw new RuntimeException(refused.get());
                  for (RecordChangeEvent<SourceRecord> record : records) committer.markProcessed(record);
                  committer.markBatchFinished();
                })
            .build();
    Runtime.getRuntime()
        .addShutdownHook(
            new Thread(
                () -> {
                  try {
                    running.close();
                  } catch (Exception stopping) {
                    System.err.println(stopping);
                  }
                }));
    running.run();
  }

  private static void send(
      KafkaProducer<String, String> producer,
      List<RecordChangeEvent<SourceRecord>> records,
      AtomicReference<Exception> refused) {
    for (RecordChangeEvent<SourceRecord> change : records) {
      SourceRecord record = change.record();
      // Heartbeats and the like are not routed, and have no payload of ours.
      if (!(record.value() instanceof String payload)) continue;
      ProducerRecord<String, String> message =
          new ProducerRecord<>(record.topic(), (String) record.key(), payload);
      for (Header header : record.headers()) {
        String name = header.key().equals("id") ? "ce_id" : header.key();
        message.headers().add(name, header.value().toString().getBytes(StandardCharsets.UTF_8));
      }
      message.headers().add("ce_specversion", "1.0".getBytes(StandardCharsets.UTF_8));
      message.headers().add("ce_source", "/tovar/bench.events".getBytes(StandardCharsets.UTF_8));
      producer.send(
          message,
          (metadata, error) -> {
            if (error != null) refused.compareAndSet(null, error);
          });
    }
  }
}
