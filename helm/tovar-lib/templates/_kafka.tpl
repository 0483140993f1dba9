{{/*
The name of the release's Kafka. Strimzi calls a pod by the cluster, its pool, which has this name and five characters more, and a
number: together at most 63.
*/}}
{{- define "tovar.kafkaName" -}}
{{- $mode := (include "tovar.global" . | fromYaml).kafka.mode -}}
{{- include "tovar.within" (list . "kafka" (ternary 27 43 (eq $mode "strimzi"))) -}}
{{- end }}

{{/* How the release's processes reach Kafka, whichever way it is run. */}}
{{- define "tovar.kafka" -}}
{{- $kafka := (include "tovar.global" . | fromYaml).kafka -}}
{{- $cluster := include "tovar.kafkaName" . -}}
{{- if eq $kafka.mode "strimzi" -}}
{{- /* The operator's listener with TLS, a user of its own making, and the authority that it makes. */ -}}
{{- $_ := set $kafka "brokers" (printf "%s-kafka-bootstrap:9093" $cluster) -}}
{{- $_ := set $kafka "security" "sasl-ssl" -}}
{{- $_ := set $kafka "ca" (dict "secret" (printf "%s-cluster-ca-cert" $cluster) "key" "ca.crt") -}}
{{- $_ := set $kafka "sasl" (dict "mechanism" "SCRAM-SHA-512" "username" "" "secret" $cluster "each" true "passwordKey" "password") -}}
{{- else if eq $kafka.mode "statefulset" -}}
{{- $_ := set $kafka "brokers" (printf "%s:9092" $cluster) -}}
{{- else -}}
{{- $_ := required "global.kafka.mode=address needs global.kafka.brokers, as host:port,host:port" $kafka.brokers -}}
{{- end -}}
{{- $sasl := hasPrefix "sasl" $kafka.security -}}
{{- if and $sasl (not $kafka.sasl.secret) -}}
{{- fail (printf "global.kafka.security=%s needs global.kafka.sasl.secret" $kafka.security) -}}
{{- end -}}
{{- if and $kafka.sasl.each $kafka.sasl.username -}}
{{- fail "global.kafka.sasl.username is one user for all: with sasl.each the secrets say theirs" -}}
{{- end -}}
{{- if and (not $sasl) $kafka.sasl.secret -}}
{{- fail (printf "global.kafka.sasl.secret is of no use with global.kafka.security=%s" $kafka.security) -}}
{{- end -}}
{{- if and $kafka.ca.secret (not (hasSuffix "ssl" $kafka.security)) -}}
{{- fail (printf "global.kafka.ca.secret is of no use with global.kafka.security=%s" $kafka.security) -}}
{{- end -}}
{{- $kafka | toYaml -}}
{{- end }}

{{/*
The same for one identity: (list $ identity). A service has its own name, its relay that with -relay, and the job of the topics is
`topics`. With a log-in for each, its secret is called after it, too; Strimzi calls the user as the secret that it makes.
*/}}
{{- define "tovar.kafkaAs" -}}
{{- $kafka := include "tovar.kafka" (first .) | fromYaml -}}
{{- if and (hasPrefix "sasl" $kafka.security) $kafka.sasl.each -}}
{{- $_ := set $kafka.sasl "secret" (printf "%s-%s" $kafka.sasl.secret (last .)) -}}
{{- if eq $kafka.mode "strimzi" -}}{{- $_ := set $kafka.sasl "username" $kafka.sasl.secret -}}{{- end -}}
{{- end -}}
{{- $kafka | toYaml -}}
{{- end }}

{{/* The settings of a process that talks to Kafka: (list $ identity). */}}
{{- define "tovar.kafkaEnv" -}}
{{- $kafka := include "tovar.kafkaAs" . | fromYaml }}
- {name: KAFKA_BROKERS, value: {{ $kafka.brokers | quote }}}
{{- with $kafka.prefix }}
- {name: KAFKA_PREFIX, value: {{ . | quote }}}
{{- end }}
- {name: KAFKA_SECURITY, value: {{ $kafka.security }}}
{{- if and (has $kafka.security (list "ssl" "sasl-ssl")) $kafka.ca.secret }}
- {name: KAFKA_CA, value: /etc/tovar/kafka-ca.crt}
{{- end }}
{{- if hasPrefix "sasl" $kafka.security }}
- {name: KAFKA_SASL_MECHANISM, value: {{ $kafka.sasl.mechanism }}}
{{- if $kafka.sasl.username }}
- {name: KAFKA_SASL_USERNAME, value: {{ $kafka.sasl.username | quote }}}
{{- else }}
- name: KAFKA_SASL_USERNAME
  valueFrom:
    secretKeyRef: {name: {{ $kafka.sasl.secret }}, key: {{ $kafka.sasl.usernameKey }}}
{{- end }}
- {name: KAFKA_SASL_PASSWORD, value: "file:/etc/tovar/kafka-password"}
{{- end }}
{{- end }}

{{/* The files that these settings name, as sources of a projected volume: (list $ identity). */}}
{{- define "tovar.kafkaFiles" -}}
{{- $kafka := include "tovar.kafkaAs" . | fromYaml }}
{{- if and (has $kafka.security (list "ssl" "sasl-ssl")) $kafka.ca.secret }}
- secret:
    name: {{ $kafka.ca.secret }}
    items: [{key: {{ $kafka.ca.key }}, path: kafka-ca.crt}]
{{- end }}
{{- if hasPrefix "sasl" $kafka.security }}
- secret:
    name: {{ $kafka.sasl.secret }}
    items: [{key: {{ $kafka.sasl.passwordKey }}, path: kafka-password}]
{{- end }}
{{- end }}

{{/* The way to Kafka, as a rule of a NetworkPolicy. */}}
{{- define "tovar.kafkaEgress" -}}
{{- $kafka := include "tovar.kafka" . | fromYaml }}
{{- if eq $kafka.mode "statefulset" }}
- to: [{podSelector: {matchLabels: {app.kubernetes.io/name: kafka, app.kubernetes.io/instance: {{ .Release.Name }}}}}]
  ports: [{port: 9092, protocol: TCP}]
{{- else if eq $kafka.mode "strimzi" }}
- to: [{podSelector: {matchLabels: {strimzi.io/cluster: {{ include "tovar.kafkaName" . }}, strimzi.io/kind: Kafka}}}]
  ports: [{port: 9093, protocol: TCP}]
{{- else }}
- {{ with $kafka.egress.to }}to: {{- toYaml . | nindent 4 }}
  {{ end -}}
  ports: [{port: {{ $kafka.egress.port }}, protocol: TCP}]
{{- end }}
{{- end }}
