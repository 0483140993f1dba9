{{- define "tovar.prometheusConfig" -}}
{{- $services := tuple "users" "billing" "orders" "warehouse" "delivery" "notifications" -}}
global:
  scrape_interval: {{ .Values.prometheus.scrapeInterval }}
  evaluation_interval: {{ .Values.prometheus.scrapeInterval }}
rule_files: [/etc/prometheus/*.yaml]
{{- $alertmanagers := .Values.prometheus.alertmanagers }}
{{- if .Values.alertmanager.enabled }}{{ $alertmanagers = prepend $alertmanagers (printf "%s:9093" (include "tovar.nameOf" (list . "alertmanager"))) }}{{ end }}
{{- with $alertmanagers }}
alerting:
  alertmanagers: [{static_configs: [{targets: {{ toJson . }}}]}]
{{- end }}
# Each pod is found through the DNS, by its service's named ports: no right to ask the API server is needed.
scrape_configs:
  - job_name: services
    dns_sd_configs:
      - refresh_interval: 10s
        names:
          {{- range $services }}
          - _ops._tcp.{{ include "tovar.nameOf" (list $ .) }}-ops.{{ $.Release.Namespace }}.svc
          {{- end }}
  - job_name: relays
    dns_sd_configs:
      - refresh_interval: 10s
        names:
          # Beside the service, or in pods of its own.
          {{- range $services }}
          - _relay-ops._tcp.{{ include "tovar.nameOf" (list $ .) }}-ops.{{ $.Release.Namespace }}.svc
          - _relay-ops._tcp.{{ include "tovar.nameOf" (list $ .) }}-relay-ops.{{ $.Release.Namespace }}.svc
          {{- end }}
  - job_name: gateway
    dns_sd_configs:
      - refresh_interval: 10s
        names: [_ops._tcp.{{ include "tovar.nameOf" (list . "gateway") }}-ops.{{ .Release.Namespace }}.svc]
{{- end }}

{{/* That of the repository, with receivers that notify a person. */}}
{{- define "tovar.alertmanagerConfig" -}}
{{- $config := .Files.Get "grafana/alertmanager.yml" | fromYaml }}
{{- $receivers := list }}
{{- range $config.receivers }}
{{- $receivers = append $receivers (merge (dict "name" .name) (get $.Values.alertmanager.receivers .name | default dict)) }}
{{- end }}
{{- toYaml (set $config "receivers" $receivers) }}
{{- end }}
