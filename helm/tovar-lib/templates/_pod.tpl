{{/* What the restricted pod security standard demands of a pod; the user: (dict "user" 65532). */}}
{{- define "tovar.podSecurity" -}}
runAsNonRoot: true
runAsUser: {{ .user }}
runAsGroup: {{ .user }}
fsGroup: {{ .user }}
fsGroupChangePolicy: OnRootMismatch
seccompProfile: {type: RuntimeDefault}
{{- end }}

{{- define "tovar.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
runAsNonRoot: true
capabilities: {drop: [ALL]}
{{- end }}

{{/* What all pods have in common. No service account's token: nothing here talks to the API server. */}}
{{- define "tovar.podBase" -}}
{{- $image := (include "tovar.global" . | fromYaml).image -}}
automountServiceAccountToken: false
# Variables such as KAFKA_PORT would be taken for settings.
enableServiceLinks: false
{{- with $image.pullSecrets }}
imagePullSecrets: {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{/* Where pods may run: (list $ component options). */}}
{{- define "tovar.placement" -}}
{{- $root := index . 0 -}}{{- $o := index . 2 -}}
topologySpreadConstraints:
  {{- range tuple "topology.kubernetes.io/zone" "kubernetes.io/hostname" }}
  - maxSkew: 1
    topologyKey: {{ . }}
    whenUnsatisfiable: ScheduleAnyway
    labelSelector:
      matchLabels: {{- include "tovar.selector" (list $root (index $ 1)) | nindent 8 }}
  {{- end }}
{{- with $o.nodeSelector }}
nodeSelector: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $o.tolerations }}
tolerations: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $o.affinity }}
affinity: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $o.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- end }}

{{/* Probes on the second port. */}}
{{- define "tovar.probes" -}}
startupProbe:
  httpGet: {path: /health/live, port: {{ . }}}
  periodSeconds: 1
  failureThreshold: 60
livenessProbe:
  httpGet: {path: /health/live, port: {{ . }}}
  periodSeconds: 10
  timeoutSeconds: 3
readinessProbe:
  httpGet: {path: /health/ready, port: {{ . }}}
  periodSeconds: 2
  timeoutSeconds: 3
{{- end }}

{{/* A value as text. Helm reads every number as a float, which Go writes as 3.1536e+07: JSON has it whole. */}}
{{- define "tovar.text" -}}
{{- if kindIs "float64" . }}{{ toJson . }}{{ else }}{{ toString . }}{{ end -}}
{{- end }}

{{/* Variables of a map, those that are not to be set left out. */}}
{{- define "tovar.env" -}}
{{- range $name, $value := . }}
{{- if ne ($value | toString) "" }}
- {name: {{ $name }}, value: {{ include "tovar.text" $value | quote }}}
{{- end }}
{{- end }}
{{- end }}

{{/* Where traces are sent. */}}
{{- define "tovar.tracesEnv" -}}
{{- with (include "tovar.global" . | fromYaml).traces.endpoint }}
- {name: OTEL_EXPORTER_OTLP_ENDPOINT, value: {{ . | quote }}}
{{- end }}
{{- end }}
