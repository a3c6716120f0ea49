local os = require("os")

if obj.metadata.annotations == nil then
  obj.metadata.annotations = {}
end
obj.metadata.annotations["weighbridge.dev/retry"] = os.date("!%Y-%m-%dT%H:%M:%SZ") .. " asked for in Argo CD"
return obj
