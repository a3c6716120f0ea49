local os = require("os")

if obj.metadata.annotations == nil then
  obj.metadata.annotations = {}
end
-- Another value is another request, so it begins with the time.
obj.metadata.annotations["weighbridge.dev/rollback"] = os.date("!%Y-%m-%dT%H:%M:%SZ") .. " asked for in Argo CD"
obj.metadata.annotations["weighbridge.dev/requested-by"] = "Argo CD (its audit log says who)"
return obj
