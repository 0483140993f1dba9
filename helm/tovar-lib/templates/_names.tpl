{{/* The options of a service: the library's defaults, then those for all services, then its own. */}}
{{- define "tovar.options" -}}
{{- $defaults := index .Values "tovar-lib" | default dict | deepCopy -}}
{{- $all := (.Values.global).services | default dict | deepCopy -}}
{{- $own := omit .Values "global" "tovar-lib" | deepCopy -}}
{{- omit (mustMergeOverwrite $defaults $all $own) "global" | toYaml -}}
{{- end }}

{{/* What all charts of a release share. */}}
{{- define "tovar.global" -}}
{{- $defaults := dict
  "image" (dict "prefix" "tovar" "tag" "" "pullPolicy" "IfNotPresent" "pullSecrets" list)
  "networkPolicy" (dict "enabled" true)
  "monitoring" (dict "from" list)
  "traces" (dict "endpoint" "" "egress" (dict "to" list "port" 4318))
  "kafka" (dict "mode" "statefulset" "brokers" "" "prefix" "" "security" "plaintext"
    "ca" (dict "secret" "" "key" "ca.crt")
    "sasl" (dict "mechanism" "SCRAM-SHA-512" "username" "" "secret" "" "usernameKey" "username" "passwordKey" "password")
    "egress" (dict "to" list "port" 9092))
-}}
{{- mustMergeOverwrite $defaults (.Values.global | default dict | deepCopy) | toYaml -}}
{{- end }}

{{/* The name of what a chart makes, such as tovar-orders. */}}
{{- define "tovar.name" -}}
{{- printf "%s-%s" .Release.Name .Chart.Name | trunc 52 | trimSuffix "-" -}}
{{- end }}

{{/* Labels by which pods are selected: (list $ component). */}}
{{- define "tovar.selector" -}}
{{- $root := first . -}}
app.kubernetes.io/name: {{ $root.Chart.Name }}
app.kubernetes.io/instance: {{ $root.Release.Name }}
app.kubernetes.io/component: {{ last . }}
{{- end }}

{{/* Labels of everything: (list $ component). */}}
{{- define "tovar.labels" -}}
{{- $root := first . -}}
{{ include "tovar.selector" . }}
app.kubernetes.io/part-of: tovar
app.kubernetes.io/version: {{ $root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ $root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" $root.Chart.Name $root.Chart.Version | replace "+" "_" }}
{{- end }}

{{/* The metadata of an object: (list $ component name). */}}
{{- define "tovar.metadata" -}}
{{- $root := index . 0 -}}
name: {{ index . 2 }}
namespace: {{ $root.Release.Namespace }}
labels: {{- include "tovar.labels" (list $root (index . 1)) | nindent 2 }}
{{- end }}

{{/* An image of the store: (list $ program). */}}
{{- define "tovar.image" -}}
{{- $root := first . -}}
{{- $image := (include "tovar.global" $root | fromYaml).image -}}
{{- printf "%s/%s:%s" $image.prefix (last .) ($image.tag | default $root.Chart.AppVersion) -}}
{{- end }}
