{{/* The way to the cluster's DNS. */}}
{{- define "tovar.dnsEgress" -}}
{{- $dns := (include "tovar.global" . | fromYaml).networkPolicy.dns }}
- {{ with $dns.to }}to: {{- toYaml . | nindent 4 }}
  {{ end -}}
  ports:
    {{- range $dns.ports }}
    - {port: {{ . }}, protocol: UDP}
    - {port: {{ . }}, protocol: TCP}
    {{- end }}
{{- end }}

{{/* The way to the collector of traces. */}}
{{- define "tovar.tracesEgress" -}}
{{- $traces := (include "tovar.global" . | fromYaml).traces -}}
{{- if $traces.endpoint }}
- {{ with $traces.egress.to }}to: {{- toYaml . | nindent 4 }}
  {{ end -}}
  ports: [{port: {{ $traces.egress.port }}, protocol: TCP}]
{{- end }}
{{- end }}

{{/* Nothing passes that no other policy lets pass: (list $ component). */}}
{{- define "tovar.policyHead" -}}
{{- $root := first . -}}
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {{- include "tovar.metadata" (list $root (last .) (printf "%s-%s" (include "tovar.name" $root) (last .))) | nindent 2 }}
spec:
  podSelector:
    matchLabels: {{- include "tovar.selector" . | nindent 6 }}
  policyTypes: [Ingress, Egress]
{{- end }}

{{/* Pods of this release, by chart: (list $ name component). */}}
{{- define "tovar.peer" -}}
podSelector: {matchLabels: {app.kubernetes.io/name: {{ index . 1 }}, app.kubernetes.io/instance: {{ (index . 0).Release.Name }}, app.kubernetes.io/component: {{ index . 2 }}}}
{{- end }}

{{/* Who gathers metrics, as a rule: (list $ port...). */}}
{{- define "tovar.metricsIngress" -}}
{{- $root := first . -}}
{{- $from := (include "tovar.global" $root | fromYaml).monitoring.from }}
- from:
    - {{- include "tovar.peer" (list $root "monitoring" "prometheus") | nindent 6 }}
    {{- with $from }}{{ toYaml . | nindent 4 }}{{- end }}
  ports:
    {{- range rest . }}
    - {port: {{ . }}, protocol: TCP}
    {{- end }}
{{- end }}

{{- define "tovar.servicePolicies" -}}
{{- $root := first . -}}{{- $o := last . -}}
{{- $sidecar := eq $o.relay.mode "sidecar" -}}
{{- if (include "tovar.global" $root | fromYaml).networkPolicy.enabled }}
---
{{ include "tovar.policyHead" (list $root "service") }}
  ingress:
    - from:
        - {{- include "tovar.peer" (list $root "gateway" "gateway") | nindent 10 }}
        {{- with $o.ingressFrom }}{{ toYaml . | nindent 8 }}{{- end }}
      ports:
        - {port: 8080, protocol: TCP}
        {{- if eq $root.Chart.Name "users" }}
        - {port: 8443, protocol: TCP}
        {{- end }}
    {{- if eq $root.Chart.Name "users" }}
    # Every service fetches the token keys.
    - from:
        - podSelector: {matchLabels: {app.kubernetes.io/part-of: tovar, app.kubernetes.io/instance: {{ $root.Release.Name }}, app.kubernetes.io/component: service}}
      ports: [{port: 8443, protocol: TCP}]
    {{- end }}
    {{- if $sidecar }}
    {{- include "tovar.metricsIngress" (list $root 9090 9091) | nindent 4 }}
    {{- else }}
    {{- include "tovar.metricsIngress" (list $root 9090) | nindent 4 }}
    {{- end }}
  egress:
    {{- include "tovar.dnsEgress" $root | nindent 4 }}
    {{- include "tovar.databaseEgress" $root | nindent 4 }}
    {{- include "tovar.kafkaEgress" $root | nindent 4 }}
    {{- include "tovar.tracesEgress" $root | nindent 4 }}
    {{- if $o.jwksUrl }}
    # The token keys, where jwksUrl leads.
    - {{ with $o.jwksTo }}to: {{- toYaml . | nindent 8 }}
      {{ end -}}
      ports: [{port: {{ (urlParse $o.jwksUrl).host | splitList ":" | rest | first | default (ternary 443 80 (hasPrefix "https" $o.jwksUrl)) }}, protocol: TCP}]
    {{- else if ne $root.Chart.Name "users" }}
    - to:
        - {{- include "tovar.peer" (list $root "users" "service") | nindent 10 }}
      ports: [{port: 8443, protocol: TCP}]
    {{- end }}
{{- if not $sidecar }}
---
{{ include "tovar.policyHead" (list $root "relay") }}
  ingress:
    {{- include "tovar.metricsIngress" (list $root 9091) | nindent 4 }}
  egress:
    {{- include "tovar.dnsEgress" $root | nindent 4 }}
    {{- include "tovar.databaseEgress" $root | nindent 4 }}
    {{- include "tovar.kafkaEgress" $root | nindent 4 }}
    {{- include "tovar.tracesEgress" $root | nindent 4 }}
{{- end }}
{{- if eq $o.postgres.operator "statefulset" }}
---
{{ include "tovar.policyHead" (list $root "postgres") }}
  ingress:
    - from:
        - {{- include "tovar.peer" (list $root $root.Chart.Name "service") | nindent 10 }}
        {{- if not $sidecar }}
        - {{- include "tovar.peer" (list $root $root.Chart.Name "relay") | nindent 10 }}
        {{- end }}
      ports: [{port: 5432, protocol: TCP}]
  egress: []
{{- else if eq $o.postgres.operator "cnpg" }}
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {{- include "tovar.metadata" (list $root "postgres" (include "tovar.postgresName" $root)) | nindent 2 }}
spec:
  podSelector: {matchLabels: {cnpg.io/cluster: {{ include "tovar.postgresName" $root }}}}
  # What goes out is the operator's affair: instances talk to each other, to the API server and to where backups are.
  policyTypes: [Ingress]
  ingress:
    - from:
        - {{- include "tovar.peer" (list $root $root.Chart.Name "service") | nindent 10 }}
        {{- if not $sidecar }}
        - {{- include "tovar.peer" (list $root $root.Chart.Name "relay") | nindent 10 }}
        {{- end }}
      ports: [{port: 5432, protocol: TCP}]
    - from:
        - podSelector: {matchLabels: {cnpg.io/cluster: {{ include "tovar.postgresName" $root }}}}
        - namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: {{ $o.postgres.cnpg.operatorNamespace }}}}
    {{- include "tovar.metricsIngress" (list $root 9187) | nindent 4 }}
{{- end }}
{{- end }}
{{- end }}
